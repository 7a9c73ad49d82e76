"""Errors a user can meet: each says what went wrong, where, and how to mend it."""

from __future__ import annotations


class PhotoOrgError(Exception):
    """Base of every error photoorg raises on purpose.

    `code` is a stable kebab-case name for programs, `fix` one sentence on what to do, `retryable`
    whether the same call may succeed later.
    """

    code = "internal"
    retryable = False

    def __init__(self, message: str, *, fix: str = "", retryable: bool | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        if retryable is not None:
            self.retryable = retryable

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.fix, self.retryable))


def _rebuild(kind: type[PhotoOrgError], message: str, fix: str, retryable: bool) -> PhotoOrgError:
    return kind(message, fix=fix, retryable=retryable)


class ConfigError(PhotoOrgError):
    """A configuration file or environment value is wrong."""

    code = "config-invalid"


class InputError(PhotoOrgError):
    """The caller asked for something that cannot be (k=0, a box outside the image, ...)."""

    code = "input-invalid"


class NotFoundError(PhotoOrgError):
    """The named photo, index, bucket or file does not exist for this tenant."""

    code = "not-found"


class ForbiddenError(PhotoOrgError):
    """Whoever asks may not."""

    code = "forbidden"


class TooLargeError(PhotoOrgError):
    """The body, file or image is over a configured limit."""

    code = "too-large"


class DecodeError(PhotoOrgError):
    """The bytes are no image photoorg can read."""

    code = "decode-failed"


class UnsupportedMediaError(DecodeError):
    """The bytes are of a type that is not accepted."""

    code = "unsupported-media-type"


class SpaceMismatchError(PhotoOrgError):
    """Vectors of one embedding space met an index, threshold or score of another."""

    code = "space-mismatch"


class NoTextSearchError(PhotoOrgError):
    """The embedding space in use has no text encoder."""

    code = "no-text-search"


class EncoderUnavailableError(PhotoOrgError):
    """An encoder's weights or its package are not to be had here."""

    code = "encoder-unavailable"


class IndexNotReadyError(PhotoOrgError):
    """There is no active index for this tenant and space, or it is still loading."""

    code = "index-not-ready"
    retryable = True


class ConflictError(PhotoOrgError):
    """Somebody else changed the same thing meanwhile, or its state forbids what was asked."""

    code = "conflict"


class IndexCorruptError(PhotoOrgError):
    """A file of an index is truncated, altered or of another version."""

    code = "index-corrupt"


class StorageError(PhotoOrgError):
    """The object store refused or failed: wrong bucket, wrong secret, no space, no network."""

    code = "storage-failed"


class CatalogError(PhotoOrgError):
    """PostgreSQL cannot be reached or refused the statement."""

    code = "catalog-failed"
    retryable = True


class ResourceError(PhotoOrgError):
    """The machine or cluster has not what the plan asks for."""

    code = "resources-insufficient"


class OverloadedError(PhotoOrgError):
    """Too much is waiting already; try again shortly."""

    code = "overloaded"
    retryable = True


class DeadlineError(PhotoOrgError):
    """No part of the answer came in time."""

    code = "deadline-exceeded"
    retryable = True
