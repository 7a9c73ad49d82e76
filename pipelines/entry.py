"""How a job is started by its module name, as Ray's job submission and KubeRay do it."""

from __future__ import annotations

import sys
from collections.abc import Sequence


class Entry:
    """The `main` of a job module: `python -m pipelines.NAME ARGUMENTS` is a `photoorg` command.

    `command` is that command's words, so that the two share options, output and exit statuses.
    """

    def __init__(self, *command: str) -> None:
        self.command = command

    def __call__(self, arguments: Sequence[str] | None = None) -> int:
        """Run the command with these arguments (None: the process's own); its exit status."""
        from photoorg.cli import main  # workers import the job's module and need no command line

        return main([*self.command, *(sys.argv[1:] if arguments is None else arguments)])
