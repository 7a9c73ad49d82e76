"""Objects as files of a folder: whole or absent, even when the writer or the power dies."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from photoorg.errors import NotFoundError, PhotoOrgError, StorageError
from photoorg.store.paths import TEMPORARY

Result = TypeVar("Result")
FOLDER_TRIES = 10
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class LocalFolder:
    """The back end of a store in a folder. Paths are relative and already checked."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, path: str) -> Path:
        """Where the object lies or would lie."""
        return self._root / path

    def read(self, path: str) -> bytes:
        """The whole object; NotFoundError if there is none."""
        return self._try(path, lambda: self.path(path).read_bytes())

    def write(self, path: str, data: bytes, *, if_absent: bool) -> bool:
        """Write beside it, flush to disk, then rename; False if `if_absent` and it was there."""

        def fill(temporary: Path) -> None:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())

        return self._try(path, lambda: self._place(path, fill, if_absent=if_absent))

    def upload(self, path: str, local: Path) -> None:
        """Copy a local file in, as `write` does."""

        def fill(temporary: Path) -> None:
            shutil.copyfile(local, temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())

        self._try(path, lambda: self._place(path, fill, if_absent=False))

    def download(self, path: str, local: Path) -> None:
        """Copy the object to a file of its own; NotFoundError if there is none."""
        self._try(path, lambda: shutil.copyfile(self.path(path), local))

    def size(self, path: str) -> int | None:
        """Bytes of the object, None if there is none."""
        try:
            return self._try(path, lambda: self.path(path).stat().st_size)
        except NotFoundError:
            return None

    def list(self, prefix: str) -> Iterator[str]:
        """Paths that begin with `prefix`, in the order of their text, one folder at a time."""
        parent, _, start = prefix.rpartition("/")
        folder = f"{parent}/" if parent else ""
        stack = [iter([folder + n for n in self._entries(folder) if n.startswith(start)])]
        while stack:
            entry = next(stack[-1], None)
            if entry is None:
                stack.pop()
            elif entry.endswith("/"):
                stack.append(iter([entry + n for n in self._entries(entry)]))
            else:
                yield entry

    def files(self, prefix: str) -> Iterator[tuple[str, int, datetime]]:
        """As list, with size and time of change."""
        for path in self.list(prefix):
            try:
                found = self._try(path, self.path(path).stat)
            except NotFoundError:
                continue
            yield path, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC)

    def _entries(self, folder: str) -> Sequence[str]:
        """Names in a folder, sorted as text; folders end with a slash, unfinished files are out."""

        def scan() -> Sequence[str]:
            with os.scandir(self._root / folder) as entries:
                return sorted(
                    e.name + "/" if e.is_dir() else e.name
                    for e in entries
                    if not e.name.startswith(TEMPORARY)
                )

        try:
            return self._try(folder, scan)
        except NotFoundError:
            return []

    def delete(self, path: str) -> None:
        """Remove the object; nothing happens if there is none."""
        with suppress(NotFoundError):
            self._try(path, lambda: self.path(path).unlink())

    def delete_all(self, paths: Iterator[str]) -> None:
        """Remove every object named, and the folders that this leaves empty."""
        folders = set()
        for path in paths:
            self.delete(path)
            folders.add(self.path(path).parent)
        for folder in folders:
            with suppress(OSError):
                while folder != self._root:
                    folder.rmdir()
                    folder = folder.parent

    def check(self) -> None:
        """Create the folder if need be and prove that it can be written; StorageError if not."""
        probe = f"{TEMPORARY}check-{secrets.token_hex(4)}"

        def prove() -> None:
            self._root.mkdir(parents=True, exist_ok=True)
            self.path(probe).write_bytes(b"photoorg")
            self.path(probe).unlink()

        self._try("", prove)

    def presign(self, path: str, seconds: int) -> str | None:
        """None: a folder has no URLs of its own."""
        return None

    def conditional_writes(self) -> bool:
        """True: a hard link or an exclusive create never replaces what is there."""
        return True

    def sweep(self, older_than_s: float) -> int:
        """Remove unfinished files that killed writers left; how many there were."""
        swept = 0
        limit = time.time() - older_than_s
        for folder, _, names in os.walk(self._root):
            for name in names:
                file = Path(folder, name)
                with suppress(FileNotFoundError):
                    if name.startswith(TEMPORARY) and file.stat().st_mtime < limit:
                        file.unlink()
                        swept += 1
        return swept

    def _place(self, path: str, fill: Callable[[Path], None], *, if_absent: bool) -> bool:
        final = self.path(path)
        if if_absent and final.exists():
            return False
        for _ in range(FOLDER_TRIES):
            # Who removes everything below a prefix takes empty folders along, this one too.
            with suppress(FileNotFoundError, FileExistsError):
                final.parent.mkdir(parents=True, exist_ok=True)
                return self._placed(final, fill, if_absent=if_absent)
        final.parent.mkdir(parents=True, exist_ok=True)
        return self._placed(final, fill, if_absent=if_absent)

    def _placed(self, final: Path, fill: Callable[[Path], None], *, if_absent: bool) -> bool:
        temporary = final.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}")
        try:
            fill(temporary)
            if not if_absent:
                temporary.replace(final)
            elif not _link(temporary, final):
                return False
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(final.parent)
        return True

    def _try(self, path: str, operation: Callable[[], Result]) -> Result:
        try:
            return operation()
        except OSError as error:
            raise explain(error, str(self._root / path)) from error


def explain(error: OSError, where: str) -> PhotoOrgError:
    """The sentence for what the operating system refused at `where`."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NotFoundError(f"There is no {where}.", fix="Check the path.")
    if isinstance(error, IsADirectoryError):
        return NotFoundError(f"{where} is a folder, not a file.", fix="Name a file in it.")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            f"There is no space left to write {where}.",
            fix="Free some space on that disk or point storage.root at a larger one.",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError(
            f"The system does not permit access to {where} ({error.strerror}).",
            fix="Give this user read and write permission there, or choose another storage.root.",
        )
    if error.errno == errno.ENAMETOOLONG:
        return StorageError(f"The name {where[:80]}... is too long.", fix="Use a shorter path.")
    return StorageError(
        f"Reading or writing {where} failed: {error.strerror or error}.",
        fix="Check the disk or the network mount.",
        retryable=error.errno in (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EINTR),
    )


def _link(temporary: Path, final: Path) -> bool:
    """Give the whole file its name unless that is taken; False if it is."""
    try:
        os.link(temporary, final)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        # A file system without hard links: two writers of one name may both win here, which is
        # harmless where equal names mean equal bytes.
        if final.exists():
            return False
        temporary.replace(final)
    return True


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
