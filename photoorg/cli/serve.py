"""`photoorg up` and `photoorg serve`: the library over HTTP."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from photoorg.cli.index import build_index, index_line
from photoorg.cli.ingest import ingest, rejected, require_files, summary_line
from photoorg.cli.parser import Commands, Parser
from photoorg.cli.session import Session, open_catalog, override, running_database
from photoorg.config import PhotoOrgConfig
from photoorg.errors import InputError
from photoorg.registry import load


def add_to(commands: Commands) -> None:
    """Add `up` and `serve`."""
    up = commands.add(
        "up",
        "ingest PATH, build the index, serve it and print the URL",
        "photoorg up ~/Pictures",
        _up,
    )
    up.add_argument("path", metavar="PATH", help="a folder of photos or s3://bucket/prefix")
    _add_address(up)
    serve = commands.add("serve", "serve what was ingested", "photoorg serve --port 8080", _serve)
    _add_address(serve)


def _add_address(parser: Parser) -> None:
    parser.add_argument("--host", help="address to bind (default: loopback only)")
    parser.add_argument("--port", type=int, help="port (default: the configuration's)")


def _up(args: argparse.Namespace, session: Session) -> None:
    config = _config(args, session)
    require_files(config, [args.path])
    with running_database(config) as config:
        load("serve.run:claim_port")(config.serve)
        load("serve.run:start_ray")(config.serve)
        summary = ingest(_one_worker_a_core(config), [args.path])
        for line in (summary_line(summary), *rejected(config, summary)):
            session.out.note(line)
        if not summary.photos:
            raise InputError(
                f"None of the {summary.files} files under {args.path} is a photo.",
                fix="The reasons are listed above; name another folder.",
            )
        index = _index(config, session)
        _serve_until_stopped(config, session, {"ingest": summary.to_dict(), "index": index})


def _index(config: PhotoOrgConfig, session: Session) -> dict[str, Any]:
    """Build the index unless the one that serves holds every photo already."""
    from photoorg.stages.compaction import up_to_date
    from photoorg.store.objects import ObjectStore

    store = ObjectStore(config.storage)
    with open_catalog(config) as catalog:
        version = up_to_date(config, store, catalog)
    if version is None:
        built = build_index(config)
        session.out.note(index_line(built))
        return {**built, "built": True}
    session.out.note(f"index {version.version} holds every photo already: it stays as it is")
    return {
        "version": version.version,
        "space": version.space_id,
        "status": version.status,
        "vectors": version.vectors,
        "shards": version.shards,
        "recall_at_10": version.recall_at_10,
        "built": False,
    }


def _serve(args: argparse.Namespace, session: Session) -> None:
    with running_database(_config(args, session)) as config:
        _serve_until_stopped(config, session, {})


def _config(args: argparse.Namespace, session: Session) -> PhotoOrgConfig:
    return session.config(serve={"host": args.host, "port": args.port})


def _one_worker_a_core(config: PhotoOrgConfig) -> PhotoOrgConfig:
    """Ray started for serving counts more CPUs than there are; ingest must not fill them all."""
    if "RAY_ADDRESS" in os.environ or config.ingest.workers is not None:
        return config
    return override(config, ingest={"workers": os.cpu_count()})


def _serve_until_stopped(config: PhotoOrgConfig, session: Session, more: dict[str, Any]) -> None:
    url: str = load("serve.run:serve")(config, block=False)
    try:
        text = f"photoorg answers at {url} (API: {url}/docs). Ctrl-C stops it."
        session.out.reply({"url": url, **more}, text)
        with _terminated_as_interrupted():
            threading.Event().wait()
    except KeyboardInterrupt:
        session.out.note("stopping")
    finally:
        load("serve.run:stop")()


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends the command as Ctrl-C does: in order."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
