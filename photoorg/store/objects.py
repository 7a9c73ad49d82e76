"""One object store, whether it is a folder or a bucket."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from photoorg.config import StorageConfig
from photoorg.errors import ConfigError
from photoorg.store.local import LocalFolder, explain
from photoorg.store.paths import MARKER, TEMPORARY, checked, checked_prefix
from photoorg.store.s3 import S3Bucket, S3Settings

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An object's path, its size in bytes and when it was written."""

    path: str
    size: int
    modified_at: datetime


class ObjectStore:
    """Whole objects under relative paths.

    `config.root` is a folder or s3://bucket/prefix; ConfigError for anything else. An object
    appears whole or not at all, and readers never see one being written. Thread-safe and
    picklable: nothing is opened before first use. Paths are relative, of single slashes, without
    "." or ".."; anything else is an InputError.
    """

    def __init__(self, config: StorageConfig) -> None:
        self.root = config.root.rstrip("/") or "/"
        self._store = _backend(config)

    def __repr__(self) -> str:
        return f"ObjectStore({self.root!r})"

    def read(self, path: str) -> bytes:
        """The whole object; NotFoundError if there is none."""
        return self._store.read(checked(path))

    def write(self, path: str, data: bytes, *, if_absent: bool = False) -> bool:
        """Store the object whole; with `if_absent` return False where there already is one.

        In a folder the condition is exact. On S3 it is a look and a conditional PUT; a server
        that does not know If-None-Match leaves a gap between the two in which the last writer
        wins, so use it for names that fix their content.
        """
        return self._store.write(checked(path), data, if_absent=if_absent)

    def exists(self, path: str) -> bool:
        """Whether there is such an object."""
        return self._store.size(checked(path)) is not None

    def size(self, path: str) -> int | None:
        """Bytes of the object, None if there is none."""
        return self._store.size(checked(path))

    def list(self, prefix: str = "") -> Iterator[str]:
        """Paths that begin with `prefix` (a text, not a folder), in the order of their text."""
        for path in self._store.list(checked_prefix(prefix)):
            if path != MARKER:
                yield path

    def files(self, prefix: str = "") -> Iterator[StoredFile]:
        """As list, with size and time; what goes meanwhile is left out."""
        for path, size, modified_at in self._store.files(checked_prefix(prefix)):
            if path != MARKER:
                yield StoredFile(path, size, modified_at)

    def delete(self, path: str) -> None:
        """Remove the object; nothing happens if there is none."""
        self._store.delete(checked(path))

    def delete_prefix(self, prefix: str) -> None:
        """Remove every object whose path begins with `prefix`."""
        self._store.delete_all(self.list(prefix))

    def local_path(self, path: str) -> Path | None:
        """Where the object lies on this machine's disk, None on S3."""
        where = self._store.path(checked(path))
        return where if isinstance(where, Path) else None

    def upload(self, path: str, local: Path) -> None:
        """Store a local file, of any size."""
        self._store.upload(checked(path), local)

    def download(self, path: str, local: Path) -> None:
        """Fetch an object into the file `local`, which appears whole or not at all."""
        temporary = local.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
        try:
            local.parent.mkdir(parents=True, exist_ok=True)
            self._store.download(checked(path), temporary)
            temporary.replace(local)
        except OSError as error:
            raise explain(error, str(local)) from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def presign(self, path: str, seconds: int) -> str | None:
        """A URL by which anyone may read the object for `seconds`; None for a folder."""
        return self._store.presign(checked(path), seconds)

    def check(self) -> None:
        """Prove that objects can be written, read and removed; StorageError says what to mend.

        Also leaves a marker, so that ingesting a folder above the store steps over it.
        """
        self._store.check()
        if self._store.size(MARKER) is None:
            self._store.write(MARKER, b"", if_absent=True)

    def conditional_writes(self) -> bool:
        """Whether the store itself refuses a second write with `if_absent` (asks the server)."""
        return self._store.conditional_writes()

    def sweep(self, older_than_s: float = DAY_S) -> int:
        """Remove what writers killed more than `older_than_s` ago left unfinished; how many."""
        return self._store.sweep(older_than_s)


class _Prefix:
    """The back end of a store in a bucket, under a prefix."""

    def __init__(self, bucket: S3Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix

    def path(self, path: str) -> str:
        return self._prefix + path

    def read(self, path: str) -> bytes:
        return self._bucket.read(self.path(path))

    def write(self, path: str, data: bytes, *, if_absent: bool) -> bool:
        return self._bucket.write(self.path(path), data, if_absent=if_absent)

    def size(self, path: str) -> int | None:
        entry = self._bucket.head(self.path(path))
        return None if entry is None else entry.size

    def list(self, prefix: str) -> Iterator[str]:
        for entry in self._bucket.list(self.path(prefix)):
            yield entry.key[len(self._prefix) :]

    def files(self, prefix: str) -> Iterator[tuple[str, int, datetime]]:
        for entry in self._bucket.list(self.path(prefix)):
            yield entry.key[len(self._prefix) :], entry.size, entry.modified_at

    def delete(self, path: str) -> None:
        self._bucket.delete(self.path(path))

    def delete_all(self, paths: Iterator[str]) -> None:
        for path in paths:
            self.delete(path)

    def upload(self, path: str, local: Path) -> None:
        self._bucket.upload(self.path(path), local)

    def download(self, path: str, local: Path) -> None:
        self._bucket.download(self.path(path), local)

    def presign(self, path: str, seconds: int) -> str | None:
        return self._bucket.presign(self.path(path), seconds)

    def check(self) -> None:
        self.conditional_writes()

    def conditional_writes(self) -> bool:
        return self._bucket.check(self.path(f"{TEMPORARY}check-{secrets.token_hex(4)}"))

    def sweep(self, older_than_s: float) -> int:
        return self._bucket.sweep(self._prefix, older_than_s)


def split_s3(uri: str) -> tuple[str, str]:
    """Bucket and key of an s3:// URI; ConfigError if it names no bucket."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise ConfigError(f"{uri!r} names no bucket.", fix="Write s3://bucket/prefix.")
    return bucket, key


def _backend(config: StorageConfig) -> LocalFolder | _Prefix:
    root = config.root
    scheme, separator, rest = root.partition("://")
    if not separator:
        return LocalFolder(Path(os.path.expanduser(root)).absolute())
    if scheme == "file":
        return LocalFolder(Path(rest).absolute())
    if scheme != "s3":
        raise ConfigError(
            f"storage.root {root!r} is neither a folder nor an s3:// address.",
            fix="Use a folder or s3://bucket/prefix.",
        )
    bucket, prefix = split_s3(root.rstrip("/") if rest else root)
    return _Prefix(S3Bucket(bucket, S3Settings.of(config)), f"{prefix}/" if prefix else "")
