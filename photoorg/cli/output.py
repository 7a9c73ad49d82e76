"""What a command writes: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from photoorg.errors import PhotoOrgError


class Output:
    """Writes one reply per command: a JSON object with `as_json`, else text for people."""

    def __init__(self, stdout: TextIO, stderr: TextIO, *, as_json: bool) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self.as_json = as_json

    def reply(self, data: Mapping[str, Any], text: str) -> None:
        """The answer of the command, in the form the caller asked for."""
        line = json.dumps(data, ensure_ascii=False, default=str) if self.as_json else text
        self._stdout.write(line.rstrip("\n") + "\n")
        self._stdout.flush()

    def note(self, text: str) -> None:
        """A line about how things go, for the person who waits."""
        self._stderr.write(text + "\n")
        self._stderr.flush()

    def fail(self, error: PhotoOrgError) -> None:
        """What went wrong and how to mend it."""
        self.note(f"error: {error.message.rstrip()}")
        if error.fix:
            self.note(f"fix:   {error.fix}")
        if self.as_json:
            fault = {"code": error.code, "message": error.message, "fix": error.fix}
            self.reply({"error": fault}, "")


@contextmanager
def results_stream(*, as_json: bool) -> Iterator[TextIO]:
    """The stream for results; with `as_json` all other writers of stdout end up on stderr.

    Ray, FAISS and PostgreSQL print to file descriptor 1 from C++ and from child processes, so the
    descriptor itself is moved aside, not only sys.stdout.
    """
    if not as_json:
        yield sys.stdout
        return
    original = sys.stdout
    original.flush()
    if not _is_descriptor_one(original):
        sys.stdout = sys.stderr
        try:
            yield original
        finally:
            sys.stdout = original
        return
    aside = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        with os.fdopen(os.dup(aside), "w", encoding="utf-8") as stream:
            yield stream
    finally:
        sys.stdout = original
        os.dup2(aside, 1)
        os.close(aside)


def table(rows: Sequence[Sequence[object]], header: Sequence[str]) -> str:
    """Plain columns, padded to the widest cell; line ends and the like in a cell are escaped."""
    cells = [list(header), *[["" if c is None else _one_line(str(c)) for c in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def _one_line(text: str) -> str:
    """Names of files may hold what breaks lines or tells a terminal what to do."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _is_descriptor_one(stream: TextIO) -> bool:
    try:
        return stream.fileno() == 1
    except (OSError, ValueError):
        return False
