"""`photoorg index`: build search indices, compare versions, choose which of them serves."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photoorg.cli.output import table
from photoorg.cli.paging import add_page, more, span
from photoorg.cli.parser import Commands
from photoorg.cli.session import ACTOR, Session, open_catalog, running_database
from photoorg.config import PhotoOrgConfig
from photoorg.errors import InputError, NotFoundError
from photoorg.registry import load
from photoorg.store.objects import ObjectStore

if TYPE_CHECKING:
    from photoorg.stages.versions import Versions
    from photoorg.store.catalog import Catalog
    from photoorg.store.catalog.switches import Switch


def add_to(commands: Commands) -> None:
    """Add `index build`, `list`, `compare`, `activate`, `rollback`, `canary`, `retire`, jobs."""
    group = commands.group(
        "index", "build, compare, switch and tidy search indices", "photoorg index build"
    )
    build = group.add(
        "build", "build an index over the tenant's vectors", "photoorg index build", _build
    )
    build.add_argument("--space", metavar="ID", help="embedding space (default: the tenant's)")
    listing = group.add("list", "list the index versions", "photoorg index list --json", _list)
    add_page(listing, after="VERSION", limit=100)
    compare = group.add(
        "compare",
        "put the same queries to a version and to the one that serves",
        "photoorg index compare 20260101T120000-ab12cd --png report.png",
        _compare,
    )
    compare.add_argument("version", metavar="VERSION", help="the version that might serve")
    compare.add_argument("--queries", type=int, default=200, metavar="N", help="photos asked for")
    compare.add_argument("--golden", metavar="CSV", help="lines PHOTO_ID,LABEL: compare mAP@10")
    compare.add_argument("--png", metavar="FILE", help="also draw the report into a picture")
    activate = group.add(
        "activate",
        "let a version serve, on every replica at once",
        "photoorg index activate 20260101T120000-ab12cd",
        _activate,
    )
    activate.add_argument("version", metavar="VERSION")
    activate.add_argument("--force", action="store_true", help="whatever its comparison said")
    activate.add_argument("--wait", type=float, metavar="S", help="seconds the slots may take")
    rollback = group.add(
        "rollback",
        "let serve again what served before the last switch",
        "photoorg index rollback",
        _rollback,
    )
    rollback.add_argument("--wait", type=float, metavar="S", help="seconds the slots may take")
    canary = group.add(
        "canary",
        "serve a share of the users from a version of another space (0 ends it)",
        "photoorg index canary 20260101T120000-ab12cd 0.05",
        _canary,
    )
    canary.add_argument("version", metavar="VERSION")
    canary.add_argument("share", metavar="SHARE", type=float, help="0 to 1")
    retire = group.add(
        "retire",
        "give up a version that is being built or waits to serve",
        "photoorg index retire 20260101T120000-ab12cd",
        _retire,
    )
    retire.add_argument("version", metavar="VERSION")
    compact = group.add(
        "compact",
        "fold what changed since the last build into new shards",
        "photoorg index compact --if-due",
        _compact,
    )
    compact.add_argument("--if-due", action="store_true", help="only beyond the threshold")
    reshard = group.add(
        "reshard",
        "spread the index over another number of shards",
        "photoorg index reshard --shards 8",
        _reshard,
    )
    reshard.add_argument("--shards", type=int, required=True, metavar="N")


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
    with open_versions(session) as (versions, *_):
        state = versions.state()
    names = [v.version for v in state.versions]
    part, following = span(args, names, "index version")
    shown = state.versions[part]
    rows = [(v.version, v.status, v.space_id, v.vectors, v.shards, v.recall_at_10) for v in shown]
    header = ("version", "status", "space", "vectors", "shards", "recall@10")
    text = table(rows, header) if names else "There is no index yet: `photoorg index build`."
    default, canary = state.route.default, state.route.canary
    data = {
        "indexes": [asdict(v) for v in shown],
        "next_cursor": following,
        "default_space": default.id if default is not None else None,
        "canary": {"space": canary.id, "share": state.route.share} if canary is not None else None,
        "last_switch": asdict(state.last) if state.last is not None else None,
    }
    session.out.reply(data, text + more(following))


def _compare(args: argparse.Namespace, session: Session) -> int:
    from photoorg.evaluate.retrieval import score
    from photoorg.search.chart import draw
    from photoorg.search.comparing import Comparer

    if args.queries < 1:
        raise InputError(f"--queries must be 1 or more, not {args.queries}.")
    golden = read_golden(Path(args.golden)) if args.golden else None
    if args.png and not Path(args.png).expanduser().absolute().parent.is_dir():
        raise InputError(f"There is no folder for {args.png}.", fix="Make it first.")
    with open_versions(session) as (versions, config, catalog):
        store = ObjectStore(config.storage)
        found = Comparer(config, store, catalog).compare(
            versions.find(args.version),
            queries=args.queries,
            golden=golden,
            average_precision=lambda x_nd, labels: score(x_nd, labels).map_at_k,
        )
    if args.png:
        Path(args.png).expanduser().write_bytes(draw(found))
    rows = [(g.name, g.value, g.limit, "yes" if g.passed else "NO") for g in found.gates]
    session.out.reply(found.to_dict(), table(rows, ("gate", "value", "limit", "passed")))
    return 0 if found.passed else 1


def _activate(args: argparse.Namespace, session: Session) -> None:
    with open_versions(session) as (versions, *_):
        done = versions.activate(args.version, actor=ACTOR, force=args.force, wait_s=args.wait)
    session.out.reply(asdict(done), switch_line(done))


def _rollback(args: argparse.Namespace, session: Session) -> None:
    with open_versions(session) as (versions, *_):
        done = versions.rollback(actor=ACTOR, wait_s=args.wait)
    session.out.reply(asdict(done), switch_line(done))


def _canary(args: argparse.Namespace, session: Session) -> None:
    with open_versions(session) as (versions, *_):
        versions.canary(args.version, args.share, actor=ACTOR)
    text = f"{args.share:.0%} of the users are served from {args.version}"
    session.out.reply({"version": args.version, "share": args.share}, text)


def _retire(args: argparse.Namespace, session: Session) -> None:
    with open_versions(session) as (versions, *_):
        done = versions.retire(args.version, actor=ACTOR)
    text = f"{done.version} of {done.space_id} is retired; `photoorg maintain` removes its files"
    session.out.reply(asdict(done), text)


def _compact(args: argparse.Namespace, session: Session) -> None:
    done = load("pipelines.compact:run")(session.config(), if_due=args.if_due)
    session.out.reply(done, compact_line(done))


def _reshard(args: argparse.Namespace, session: Session) -> None:
    done = load("pipelines.compact:run")(session.config(), shards=args.shards)
    session.out.reply(done, compact_line(done))


def switch_line(done: Switch) -> str:
    """What serves now, in one line for people."""
    before = f" instead of {done.from_version}" if done.from_version else ""
    lost = ""
    if done.lacking:
        lost = f"; {done.lacking} photos found before are not in it (`photoorg reembed` adds them)"
    return f"{done.to_version} of {done.to_space} serves{before}{lost}"


def compact_line(done: Mapping[str, Any]) -> str:
    """What a compaction did, in one line for people."""
    waiting = f"{done['came']} photos came and {done['gone']} went since"
    if not done["compacted"]:
        return f"{waiting} {done['version']}: not worth a compaction yet"
    return (
        f"{waiting} {done['from_version']}; now {done['version']}: {done['vectors']} vectors in "
        f"{done['shards']} shards, {done['seconds']:.1f} s"
    )


def read_golden(path: Path) -> dict[str, str]:
    """Labels by photo id from lines PHOTO_ID,LABEL; InputError names a line that is none."""
    try:
        lines = path.expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise NotFoundError(f"{path} cannot be read: {error}.") from None
    golden: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        photo_id, comma, label = line.strip().partition(",")
        if not photo_id or photo_id == "photo_id":
            continue
        if not comma or not label or len(photo_id) != 64:
            raise InputError(f"{path}, line {number} is not PHOTO_ID,LABEL.")
        golden[photo_id] = label
    return golden


@contextmanager
def open_versions(session: Session) -> Iterator[tuple[Versions, PhotoOrgConfig, Catalog]]:
    """The tenant's versions over a running database."""
    from photoorg.stages.coverage import Coverage
    from photoorg.stages.versions import Versions

    with running_database(session.config()) as config, open_catalog(config) as catalog:
        coverage = Coverage(ObjectStore(config.storage), catalog, config.tenant)
        yield Versions(catalog, config.tenant, config.migration, coverage), config, catalog
