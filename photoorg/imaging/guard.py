"""Decoding that cannot hang, crash or exhaust the calling process.

Formats whose native decoders can (TIFF, HEIF, RAW, GIF), very large images, and JPEGs with an
absurd number of scans are decoded in a child process that has a time and a memory limit and is
killed and replaced when it breaks one. Everything else is decoded where it is called, so that
ordinary JPEGs cost nothing extra; a child is started only when the first risky file comes.

Run as `python -m photoorg.imaging.guard`, this module is that child. Requests and answers are a
length-prefixed JSON head and raw bytes, never pickles: a decoder taken over by a hostile file
must not be able to make its parent run anything.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import sys
import threading
import weakref
from typing import Any, BinaryIO

import numpy as np

from photoorg import errors
from photoorg.config import ImagingConfig
from photoorg.errors import DecodeError, PhotoOrgError
from photoorg.imaging import jpeg, raster
from photoorg.imaging import sniff as types
from photoorg.imaging.child import Child, ChildCrashedError, ChildStartError, ChildTimeoutError
from photoorg.imaging.decode import Decoder
from photoorg.imaging.picture import Limits
from photoorg.models import Decoded

MODULE = "photoorg.imaging.guard"

_RISKY = {types.TIFF, types.HEIC, types.HEIF, types.GIF}
_MAX_SCANS = 64
_HEAD = struct.Struct(">II")


class GuardedDecoder:
    """A Decoder that hostile files cannot bring down; safe in threads, picklable.

    `children` is how many risky files may be decoded at once, `program` the module they run.
    Close it, or use it in a `with` statement, to end the children at once; they also end with
    this object and with the process.
    """

    def __init__(self, config: ImagingConfig, *, children: int = 2, program: str = MODULE) -> None:
        self._config = config
        self._options = {"children": children, "program": program}
        self._limits = Limits(config)
        self._inside = Decoder(config)
        self._pool = _Pool(config, children, program)
        self._closer = weakref.finalize(self, self._pool.close)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self._config, self._options))

    def __enter__(self) -> GuardedDecoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child processes; a later risky file starts a new one."""
        self._pool.close()

    def decode(self, data: bytes, *, short_side: int, long_side: int = 0) -> Decoded:
        """As Decoder.decode; DecodeError also for files that take too long or break the decoder."""
        self._limits.check_bytes(len(data))
        mime = types.sniff(data)
        if not self._risky(data, mime):
            return self._inside.decode(data, short_side=short_side, long_side=long_side)
        request = {"short_side": short_side, "long_side": long_side}
        head, body = self._pool.ask(json.dumps(request).encode(), data, types.name_of(mime))
        return _unpack(json.loads(head), body, mime)

    def _risky(self, data: bytes, mime: str) -> bool:
        if mime in _RISKY or types.is_raw(mime):
            return True
        if mime == types.JPEG:
            header = jpeg.read_header(data)
            large = header.width * header.height > self._config.guard_pixels
            scans = jpeg.scans(data, header)
            return scans > _MAX_SCANS or (large and (scans > 1 or header.components == 4))
        container = raster.read_header(data, mime)
        return container.width * container.height > self._config.guard_pixels


def _rebuild(config: ImagingConfig, options: dict[str, Any]) -> GuardedDecoder:
    return GuardedDecoder(config, **options)


class _Pool:
    """At most `size` children, lent to one caller at a time."""

    def __init__(self, config: ImagingConfig, size: int, program: str) -> None:
        self._config = config
        self._program = program
        self._slots = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        self._owner = os.getpid()

    def ask(self, head: bytes, body: bytes, name: str) -> tuple[bytes, bytes]:
        with self._slots:
            child = self._take()
            try:
                answer = child.ask(head, body)
            except ChildTimeoutError:
                raise DecodeError(
                    f"The {name} file took longer than {self._config.max_seconds:g} s to decode.",
                    fix="Raise imaging.max_seconds, or save the photo in another format.",
                ) from None
            except ChildCrashedError:
                raise DecodeError(
                    f"The {name} file crashed the decoder.", fix="Leave it out; it may be hostile."
                ) from None
            except ChildStartError:
                raise DecodeError(
                    "The process that decodes risky files did not start.",
                    fix="Check free memory and that photoorg can be imported there; then retry.",
                    retryable=True,
                ) from None
            finally:
                self._give_back(child)
            return answer

    def _take(self) -> Child:
        with self._lock:
            if os.getpid() != self._owner:
                self._idle, self._owner = [], os.getpid()
            while self._idle:
                child = self._idle.pop()
                if child.usable():
                    return child
                child.close()
        return Child(self._program, self._config.model_dump_json(), self._config.max_seconds)

    def _give_back(self, child: Child) -> None:
        if not child.usable():
            child.close()
            return
        with self._lock:
            self._idle.append(child)

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            if os.getpid() == self._owner:
                child.close()


def _unpack(head: dict[str, Any], body: bytes, mime: str) -> Decoded:
    if "error" in head:
        kind = getattr(errors, str(head["error"]), DecodeError)
        raise kind(str(head["message"]), fix=str(head["fix"]))
    rows, columns, exif = (int(head[k]) for k in ("rows", "columns", "exif"))
    pixels = rows * columns * 3
    if min(rows, columns) < 1 or len(body) != pixels + exif:
        raise DecodeError("The decoder gave an answer that cannot be.")
    return Decoded(
        rgb=np.frombuffer(bytearray(body[:pixels]), np.uint8).reshape(rows, columns, 3),
        width=int(head["width"]),
        height=int(head["height"]),
        mime=mime,
        decoder=str(head["decoder"]),
        frames=int(head["frames"]),
        exif=body[pixels:],
    )


def main() -> None:
    """Serve decode requests on stdin until it closes; the configuration is the one argument."""
    config = ImagingConfig.model_validate_json(sys.argv[1])
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _confine(config)
    decoder = Decoder(config)
    answers.write(_HEAD.pack(0, 0))
    answers.flush()
    while (request := _read_request(sys.stdin.buffer)) is not None:
        signal.setitimer(signal.ITIMER_REAL, config.max_seconds + 5)
        head, parts = _answer(decoder, *request)
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(_HEAD.pack(len(head), sum(len(p) for p in parts)))
        answers.writelines([head, *parts])
        answers.flush()


def _confine(config: ImagingConfig) -> None:
    """Bound memory; let the alarm end this process even if its parent is gone."""
    import warnings

    from PIL import Image

    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = config.max_pixels
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        import resource

        bound = config.guard_memory_mb * 1_000_000
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


def _read_request(stream: BinaryIO) -> tuple[dict[str, int], bytes] | None:
    prefix = stream.read(_HEAD.size)
    if len(prefix) < _HEAD.size:
        return None
    head, body = _HEAD.unpack(prefix)
    request = json.loads(stream.read(head))
    return request, stream.read(body)


def _answer(decoder: Decoder, request: dict[str, int], data: bytes) -> tuple[bytes, list[bytes]]:
    try:
        done = decoder.decode(
            data, short_side=request["short_side"], long_side=request["long_side"]
        )
    except PhotoOrgError as error:
        said = {"error": type(error).__name__, "message": error.message, "fix": error.fix}
        return json.dumps(said).encode(), []
    facts = {
        "rows": done.rgb.shape[0],
        "columns": done.rgb.shape[1],
        "exif": len(done.exif),
        "width": done.width,
        "height": done.height,
        "frames": done.frames,
        "decoder": done.decoder,
    }
    return json.dumps(facts).encode(), [done.rgb.tobytes(), done.exif]


if __name__ == "__main__":
    main()
