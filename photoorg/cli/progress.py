"""A progress line: files done, speed, time left."""

from __future__ import annotations

from typing import TextIO

WIDTH = 28


class ProgressLine:
    """Called with files done, files in all and seconds since the start.

    On a terminal one line is drawn over and over; elsewhere a line appears per tenth of the work.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._redraw = stream.isatty()
        self._tenth = -1

    def __call__(self, done: int, total: int, seconds: float) -> None:
        """Show how far the work is."""
        tenth = done * 10 // total if total else 10
        if not self._redraw and tenth == self._tenth:
            return
        self._tenth = tenth
        line = f"{_bar(done, total)} {done}/{total}  {_pace(done, total, seconds)}"
        end = "\n" if not self._redraw or done >= total else ""
        self._stream.write(("\r\x1b[K" if self._redraw else "") + line + end)
        self._stream.flush()


def _bar(done: int, total: int) -> str:
    filled = done * WIDTH // total if total else WIDTH
    return "[" + "#" * filled + "." * (WIDTH - filled) + "]"


def _pace(done: int, total: int, seconds: float) -> str:
    if not done or seconds <= 0:
        return "starting"
    speed = done / seconds
    return f"{speed:.1f} images/s, {duration((total - done) / speed)} left"


def duration(seconds: float) -> str:
    """Seconds in the unit a person would use."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
