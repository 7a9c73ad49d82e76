"""Withdrawing consent: faces leave the catalog, and the files of the runs that found them."""

from __future__ import annotations

import logging

import pyarrow as pa

from photoorg import schema
from photoorg.store.catalog import Catalog, consent
from photoorg.store.catalog.consent import TENANT, Withdrawn
from photoorg.store.layout import run_dir
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import Run, find_runs

log = logging.getLogger(__name__)
JOB = "ingest"


def withdraw(catalog: Catalog, store: ObjectStore, tenant: str, user: str, actor: str) -> Withdrawn:
    """Forget every face read under the consent of `user` (TENANT: all of the tenant's).

    The catalog first, in one transaction, after which no load brings faces back; then the parts of
    ingest runs, which are rewritten without their faces.
    """
    with catalog.tenant(tenant) as tx:
        gone = consent.withdraw(tx, user, actor)
    for run in find_runs(store, run_dir(tenant, JOB, "")):
        for part in run.parts():
            _strip(run, part, user)
    return gone


def _strip(run: Run, part: int, user: str) -> None:
    table = run.read_part(part)
    if "faces" not in table.column_names or table["faces"].null_count == len(table):
        return
    if user not in (TENANT, consent.user_of(table)):
        return
    at = table.schema.get_field_index("faces")
    run.write_part(
        part, table.set_column(at, table.schema.field(at), pa.nulls(len(table), schema.FACES))
    )
    log.info("%r part %d: faces removed.", run, part)
