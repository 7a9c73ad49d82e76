"""The `photoorg` command: one module per group of commands, no decisions of its own."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Sequence

from photoorg import local_ray
from photoorg.cli.output import Output, results_stream
from photoorg.cli.parser import UsageError, build_parser
from photoorg.cli.session import Session
from photoorg.errors import ConfigError, PhotoOrgError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    as_json = "--json" in arguments
    with results_stream(as_json=as_json) as stdout:
        out = Output(stdout, sys.stderr, as_json=as_json)
        try:
            return _run(build_parser().parse_args(arguments), out)
        except PhotoOrgError as error:
            return _fail(
                out, error, 2 if isinstance(error, UsageError | ConfigError) else 1, arguments
            )
        except KeyboardInterrupt:
            out.note("interrupted")
            return 130
        except Exception as error:
            unknown = PhotoOrgError(
                f"Something unforeseen happened: {type(error).__name__}: {error}.",
                fix="Run the command again with --debug to see where, and report it.",
            )
            return _fail(out, unknown, 1, arguments)


def _run(args: argparse.Namespace, out: Output) -> int:
    _log_to_stderr(debug=args.debug)
    local_ray.prepare()
    session = Session(out, config_path=args.config, tenant=getattr(args, "tenant", None))
    status: int | None = args.run(args, session)
    return status or 0


def _fail(out: Output, error: PhotoOrgError, status: int, arguments: Sequence[str]) -> int:
    out.fail(error)
    if "--debug" in arguments:
        logging.getLogger(__name__).exception("traceback")
    return status


def _log_to_stderr(*, debug: bool) -> None:
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING,
        format="%(asctime)s %(name)s %(message)s" if debug else "%(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("photoorg").setLevel(logging.DEBUG if debug else logging.INFO)
    if not debug:
        warnings.simplefilter("ignore")
