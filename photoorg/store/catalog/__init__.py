"""The catalog: what photoorg knows, in PostgreSQL, one module of functions per aggregate."""

from photoorg.store.catalog.connection import Catalog, Transaction

__all__ = ["Catalog", "Transaction"]
