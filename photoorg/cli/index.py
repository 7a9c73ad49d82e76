"""`photoorg index`: build search indices, list their versions."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from photoorg.cli.output import table
from photoorg.cli.parser import Commands
from photoorg.cli.session import Session, running_database
from photoorg.config import PhotoOrgConfig
from photoorg.registry import load


def add_to(commands: Commands) -> None:
    """Add `index build` and `index list`."""
    group = commands.group("index", "build and list search indices", "photoorg index build")
    build = group.add(
        "build", "build an index over the tenant's vectors", "photoorg index build", _build
    )
    build.add_argument("--space", metavar="ID", help="embedding space (default: the tenant's)")
    group.add("list", "list the index versions", "photoorg index list --json", _list)


def build_index(config: PhotoOrgConfig, space: str | None = None) -> dict[str, Any]:
    """Run the index job; version, vectors, recall_at_10, seconds and more."""
    built: dict[str, Any] = load("pipelines.build_index:run")(config, space=space)
    return built


def index_line(built: Mapping[str, Any]) -> str:
    """What was built, in one line for people."""
    recall = built["recall_at_10"]
    quality = "exact" if recall is None else f"recall@10 {recall:.3f}"
    return (
        f"index {built['version']}: {built['vectors']} vectors in {built['shards']} shards, "
        f"{quality}, {built['seconds']:.1f} s"
    )


def _build(args: argparse.Namespace, session: Session) -> None:
    built = build_index(session.config(), args.space)
    session.out.reply(built, index_line(built))


def _list(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import Catalog, indexes

    with (
        running_database(session.config()) as config,
        Catalog(str(config.database.url.get_secret_value()), config.database) as catalog,  # type: ignore[union-attr]
    ):
        catalog.migrate()
        with catalog.tenant(config.tenant) as tx:
            versions = indexes.list_versions(tx)
    rows = [
        (v.version, v.status, v.space_id, v.vectors, v.shards, v.recall_at_10) for v in versions
    ]
    header = ("version", "status", "space", "vectors", "shards", "recall@10")
    text = table(rows, header) if rows else "There is no index yet: `photoorg index build`."
    session.out.reply({"indexes": [asdict(v) for v in versions]}, text)
