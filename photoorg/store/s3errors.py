"""What an S3 server refused, why, and what a person can do about it."""

from __future__ import annotations

import socket
from typing import Protocol

from photoorg.errors import NotFoundError, PhotoOrgError, StorageError

TRANSIENT_CODES = frozenset(
    {
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "TooManyRequests",
        "TooManyRequestsException",
        "RequestTimeout",
        "RequestTimeoutException",
        "InternalError",
        "ServiceUnavailable",
        "OperationAborted",
        "ConditionalRequestConflict",
        "XAmzContentSHA256Mismatch",
    }
)
TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
WRONG_SECRET = frozenset({"SignatureDoesNotMatch", "InvalidAccessKeyId", "InvalidSecurity"})
EXPIRED = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"})
FULL = frozenset({"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "EntityTooLarge"})
ELSEWHERE = frozenset(
    {
        "PermanentRedirect",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "301",
        "307",
    }
)


class Place(Protocol):
    """The part of the settings that a sentence may name; never a secret."""

    @property
    def endpoint_url(self) -> str | None:
        """Where the server is."""

    @property
    def anonymous(self) -> bool:
        """Whether requests are unsigned."""


class Refusal(Exception):
    """A request that failed for good: HTTP status (0 without an answer), S3 code, what was said."""

    def __init__(self, status: int, code: str, said: str) -> None:
        super().__init__(f"{status} {code} {said}".strip())
        self.status = status
        self.code = code
        self.said = said


def refusals() -> tuple[type[Exception], ...]:
    """What the S3 stack raises when a request fails; a ValueError is how it takes a bad URL."""
    from aiohttp import ClientError as HttpError
    from botocore.exceptions import BotoCoreError, ClientError
    from fsspec.exceptions import FSTimeoutError

    return (OSError, BotoCoreError, ClientError, HttpError, FSTimeoutError, ValueError)


def refusal(error: BaseException) -> Refusal:
    """Any error of the S3 stack as a Refusal."""
    if isinstance(error, Refusal):
        return error
    status, code, said = _answer(error)
    if status or code:
        return Refusal(status, code, said)
    return Refusal(0, type(_innermost(error)).__name__, "")


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed a moment later; never for a 403 or a 404."""
    from aiohttp import ClientError as HttpError
    from botocore.exceptions import (
        ConnectionError as LostConnection,
    )
    from botocore.exceptions import (
        HTTPClientError,
        IncompleteReadError,
        ProxyConnectionError,
        ResponseStreamingError,
        SSLError,
    )
    from fsspec.exceptions import FSTimeoutError

    if isinstance(error, Refusal):
        return error.status in TRANSIENT_STATUS or error.code in TRANSIENT_CODES
    status, code, _ = _answer(error)
    if status or code:
        return status in TRANSIENT_STATUS or code in TRANSIENT_CODES
    passing = (
        LostConnection,
        HTTPClientError,
        IncompleteReadError,
        ResponseStreamingError,
        HttpError,
        FSTimeoutError,
        TimeoutError,
        ConnectionError,
        socket.timeout,
    )
    chain = _chain(error)
    if any(isinstance(e, SSLError | ProxyConnectionError) for e in chain):
        return False
    return any(isinstance(e, passing) for e in chain)


def explain(error: Refusal, bucket: str, key: str, place: Place) -> PhotoOrgError:
    """The sentence for a person: which bucket, what is wrong, what to change. Never a secret."""
    server = place.endpoint_url or "Amazon S3"
    if error.code == "NoSuchBucket" or (error.status == 404 and not key):
        return StorageError(
            f"There is no bucket {bucket!r} at {server}.",
            fix="Create it, or correct the bucket's name in the URI or the endpoint_url.",
        )
    if error.code in ("404", "405"):  # an S3 server names its errors in the body
        return StorageError(
            f"{server} answered {error.code}, but not as an S3 server does.",
            fix="Correct endpoint_url: it seems to be a web site.",
        )
    if error.status == 404:
        return NotFoundError(f"There is no s3://{bucket}/{key}.", fix="Check the path.")
    if error.code in WRONG_SECRET:
        return StorageError(
            f"{server} does not accept the access key or its secret ({error.code}).",
            fix="Correct access_key and secret_key of the section storage, or of source for photos"
            " that are read (PHOTOORG_STORAGE__ACCESS_KEY, PHOTOORG_SOURCE__ACCESS_KEY and so on).",
        )
    if error.code in EXPIRED:
        return StorageError(
            f"The session token for {server} has expired or is not valid.",
            fix="Renew the credentials and set session_token again.",
        )
    if error.code == "RequestTimeTooSkewed":
        return StorageError(
            f"The clocks of this machine and of {server} differ too much.",
            fix="Set this machine's clock (NTP).",
        )
    if error.code in ELSEWHERE or error.status in (301, 307):
        return StorageError(
            f"Bucket {bucket!r} lives in another region or behind another endpoint ({error.said}).",
            fix="Set region (and endpoint_url) to those of the bucket.",
        )
    if error.status in (401, 403):
        who = "Requests without credentials are" if place.anonymous else "This access key is"
        return StorageError(
            f"{who} not permitted to use s3://{bucket}/{key} at {server}.",
            fix="Check access_key and secret_key; grant the key list, read, write and delete on"
            " that bucket and prefix.",
        )
    if error.code == "NoCredentialsError" or error.code == "PartialCredentialsError":
        return StorageError(
            "There are no S3 credentials.",
            fix="Set access_key and secret_key, or give this host an AWS role or profile.",
        )
    if error.status == 0 and error.code in ("ResponseParserError", "ExpatError", "ParseError"):
        return StorageError(
            f"{server} answered, but not as an S3 server does.", fix="Correct endpoint_url."
        )
    if error.code in ("InvalidBucketName", "ParamValidationError"):
        return StorageError(
            f"{bucket!r} is no valid bucket name, or the key {key!r} is none.",
            fix="Use 3 to 63 lower-case letters, digits, dots and hyphens.",
        )
    if error.code in (
        "QuotaExceeded",
        "XMinioStorageFull",
        "InsufficientStorage",
        "EntityTooLarge",
    ):
        return StorageError(
            f"{server} takes no more data for bucket {bucket!r} ({error.code}).",
            fix="Free space or raise the bucket's quota.",
        )
    if error.status == 0 and error.code in (
        "ValueError",
        "InvalidEndpointError",
        "UnknownEndpoint",
    ):
        return StorageError(f"The endpoint {server} is not valid.", fix="Correct endpoint_url.")
    if error.status == 0:
        return StorageError(
            f"{server} cannot be reached or does not answer ({error.code}).",
            fix="Check endpoint_url, the network and whether the server is running.",
            retryable=True,
        )
    return StorageError(
        f"{server} refused s3://{bucket}/{key}: {error.status} {error.code} {error.said}".strip(),
        fix="Try again; if it stays, check endpoint_url and the server's log.",
        retryable=error.status in TRANSIENT_STATUS or error.code in TRANSIENT_CODES,
    )


def _answer(error: BaseException) -> tuple[int, str, str]:
    """Status, code and message of the server's answer somewhere in the chain of causes."""
    for link in _chain(error):
        response = getattr(link, "response", None)
        if isinstance(response, dict) and "Error" in response:
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            code = str(response["Error"].get("Code", ""))
            if not status and code.isdigit():
                status = int(code)
            return int(status), code, str(response["Error"].get("Message", ""))
    return 0, "", ""


def _innermost(error: BaseException) -> BaseException:
    return error if error.__cause__ is None else error.__cause__


def _chain(error: BaseException) -> list[BaseException]:
    links = [error]
    while len(links) < 8:
        following = links[-1].__cause__
        if following is None:
            break
        links.append(following)
    return links
