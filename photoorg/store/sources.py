"""Where photos come from: files, folders and buckets, listed in order and read with a limit."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from photoorg.config import SourceConfig
from photoorg.errors import (
    DecodeError,
    InputError,
    NotFoundError,
    PhotoOrgError,
    TooLargeError,
)
from photoorg.models import SourceFile
from photoorg.store.local import explain
from photoorg.store.objects import ObjectStore, split_s3
from photoorg.store.paths import MARKER
from photoorg.store.s3 import S3Bucket, S3Settings

log = logging.getLogger(__name__)
FILE = "file://"
ODD_FILE = "file://localhost"


def list_source(uri: str, config: SourceConfig) -> Iterator[SourceFile]:
    """Files below a folder, a file, or an s3://bucket/prefix, in the order of their URIs.

    Hidden files and folders (a leading dot) and photoorg's own storage folders are skipped;
    links are followed, never in a circle. InputError for the storage itself,
    NotFoundError if the folder or file is not there, StorageError for a bucket
    that is missing or refuses.
    """
    if uri.startswith("s3://"):
        yield from _list_bucket(uri, config)
        return
    start = Path(os.path.abspath(os.path.expanduser(local_file(uri))))
    if start.is_dir():
        yield from _list_folder(start)
    else:
        yield _file(str(start), _stat(start))


def read_source(uri: str, config: SourceConfig, *, max_bytes: int) -> bytes:
    """The bytes of one listed file.

    NotFoundError if it is gone, TooLargeError if it has more than `max_bytes` (no more than that
    is ever held in memory), StorageError, retryable or not, if it cannot be read.
    """
    if uri.startswith("s3://"):
        bucket, key = split_s3(uri)
        data = _bucket(bucket, config).read(key, most=max_bytes + 1)
    else:
        data = _read_file(local_file(uri), max_bytes + 1)
    if len(data) > max_bytes:
        raise TooLargeError(
            f"{uri} is larger than the limit of {max_bytes} bytes.",
            fix="Raise imaging.max_bytes if such files are wanted.",
        )
    return data


def read_original(uri: str, store: ObjectStore, config: SourceConfig, *, max_bytes: int) -> bytes:
    """A photo's bytes from where the catalog says they are: a path in the store, or a source."""
    if "://" in uri or uri.startswith("/"):
        return read_source(uri, config, max_bytes=max_bytes)
    size = store.size(uri)
    if size is not None and size > max_bytes:
        raise TooLargeError(f"{uri} is larger than the limit of {max_bytes} bytes.")
    return store.read(uri)


def read_content(
    photo_id: str,
    places: Sequence[str],
    store: ObjectStore,
    config: SourceConfig,
    *,
    max_bytes: int,
) -> bytes:
    """A photo's bytes from the first of its places that still has them.

    Files are moved, and one of two copies is removed. What the last place said is raised where none
    has them; DecodeError for a file that holds something else by now.
    """
    assert places, "a photo was seen somewhere"
    for number, uri in enumerate(places, 1):
        try:
            data = read_original(uri, store, config, max_bytes=max_bytes)
            # Bytes of the store are named by their hash; a file elsewhere may have changed.
            if "://" in uri and hashlib.sha256(data).hexdigest() != photo_id:
                raise DecodeError(f"{uri} was changed since it was ingested.")
            return data
        except PhotoOrgError:
            if number == len(places):
                raise
    raise AssertionError("the last place returns or raises")


def file_uri(path: str | Path) -> str:
    """file:///abs/path as it is written; names that are no text are percent-encoded after
    file://localhost, which means the same place (RFC 8089).
    """
    text = os.path.abspath(path)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return ODD_FILE + quote(os.fsencode(text))
    return FILE + text


def local_file(uri: str) -> Path:
    """The local path that a file URI or a plain path names; InputError for another scheme."""
    if uri.startswith(ODD_FILE + "/"):
        return Path(os.fsdecode(unquote_to_bytes(uri.removeprefix(ODD_FILE))))
    if uri.startswith(FILE):
        return Path(uri.removeprefix(FILE))
    if "://" in uri:
        raise InputError(
            f"{uri!r} is no source photoorg can read.",
            fix="Use a folder, a file, file:///path or s3://bucket/prefix.",
        )
    return Path(uri)


def _list_bucket(uri: str, config: SourceConfig) -> Iterator[SourceFile]:
    bucket, prefix = split_s3(uri)
    own: str | None = None
    start = prefix.rpartition("/")[0]
    for entry in _bucket(bucket, config).list(prefix):
        shown = entry.key.removeprefix(start).split("/")
        if shown[-1] == MARKER:
            own = entry.key.removesuffix(MARKER)
            if own.removesuffix("/") == start:
                raise _own_storage(uri)
        inside = own is not None and entry.key.startswith(own)
        if inside or not shown[-1] or any(part.startswith(".") for part in shown):
            continue
        yield SourceFile(f"s3://{bucket}/{entry.key}", entry.size, entry.etag, entry.modified_at)


def _list_folder(start: Path) -> Iterator[SourceFile]:
    """Depth first without recursion; the stack knows the real folders above, to leave circles."""
    _stat(start)
    if (start / MARKER).exists():
        raise _own_storage(str(start))
    stack = [(_entries(str(start)), _identity(str(start)))]
    while stack:
        entry = next(stack[-1][0], None)
        if entry is None:
            stack.pop()
            continue
        try:
            if not entry.is_dir():
                if entry.is_file():
                    yield _file(entry.path, entry.stat())
                continue
            identity = _identity(entry.path)
        except OSError as error:
            log.warning("%s is skipped: %s.", entry.path, error.strerror)
            continue
        if identity not in {above for _, above in stack}:
            stack.append((_entries(entry.path), identity))


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    """Entries so ordered that full paths come out sorted: a folder counts as its name and '/'."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError as error:
        log.warning("Folder %s is skipped: %s.", folder, error.strerror)
        return iter(())
    if any(e.name == MARKER for e in entries):
        log.info("Folder %s is skipped: it is photoorg's own storage.", folder)
        return iter(())
    return iter(sorted((e for e in entries if not e.name.startswith(".")), key=_order))


def _order(entry: os.DirEntry[str]) -> str:
    try:
        return entry.name + "/" if entry.is_dir() else entry.name
    except OSError:  # a link to itself
        return entry.name


def _own_storage(where: str) -> InputError:
    return InputError(
        f"{where} is photoorg's own storage.", fix="Name the folder or prefix that holds photos."
    )


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _file(path: str, status: os.stat_result) -> SourceFile:
    return SourceFile(
        uri=file_uri(path),
        size=status.st_size,
        etag=f"{status.st_size}-{status.st_mtime_ns}",
        modified_at=_time(status.st_mtime),
    )


def _time(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except FileNotFoundError:
        raise NotFoundError(
            f"There is no file or folder {path}.", fix="Check the path; relative ones start here."
        ) from None
    except OSError as error:
        raise _readable(error, path) from error


def _read_file(path: Path, most: int) -> bytes:
    try:
        if not path.is_file():
            path.stat()
            raise NotFoundError(f"{path} is not a file.")
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise _readable(error, path) from error


def _readable(error: OSError, path: Path) -> PhotoOrgError:
    explained = explain(error, str(path))
    explained.fix = explained.fix.replace(", or choose another storage.root", "")
    return explained


def _bucket(bucket: str, config: SourceConfig) -> S3Bucket:
    return _opened(bucket, S3Settings.of(config))


@lru_cache(maxsize=8)
def _opened(bucket: str, settings: S3Settings) -> S3Bucket:
    """One client per bucket and settings, so that reading many files opens one connection pool."""
    return S3Bucket(bucket, settings)
