"""What a command works with: its output, and the configuration the options name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from photoorg.cli.output import Output
from photoorg.config import PhotoOrgConfig, load, parse

if TYPE_CHECKING:
    from photoorg.store.catalog import Catalog, Transaction

ACTOR = "cli"
"""Who the audit log names for what a command changed."""


@dataclass(frozen=True, slots=True)
class Session:
    """Output and configuration of one command."""

    out: Output
    config_path: str | None = None
    tenant: str | None = None

    def config(self, **sections: dict[str, Any]) -> PhotoOrgConfig:
        """The configuration, with the values of `sections` laid over it; ConfigError if wrong."""
        config = load(self.config_path)
        return override(config, tenant=self.tenant, **sections)


def override(config: PhotoOrgConfig, **changes: Any) -> PhotoOrgConfig:
    """`config` with changes (None: leave; a dict: keys of that section), checked again."""
    data = config.model_dump()
    for name, value in changes.items():
        if isinstance(value, dict):
            data[name] |= {k: v for k, v in value.items() if v is not None}
        elif value is not None:
            data[name] = value
    return parse(data)


@contextmanager
def running_database(config: PhotoOrgConfig) -> Iterator[PhotoOrgConfig]:
    """See photoorg.store.opening, which is imported when a command needs it."""
    from photoorg.store import opening

    with opening.running_database(config) as running:
        yield running


@contextmanager
def open_catalog(config: PhotoOrgConfig) -> Iterator[Catalog]:
    """See photoorg.store.opening, which is imported when a command needs it."""
    from photoorg.store import opening

    with opening.open_catalog(config) as catalog:
        yield catalog


@contextmanager
def catalog_transaction(session: Session) -> Iterator[Transaction]:
    """A transaction of the session's tenant, committed when the block ends."""
    config = session.config()
    with open_catalog(config) as catalog, catalog.tenant(config.tenant) as tx:
        yield tx
