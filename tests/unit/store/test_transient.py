"""What is tried again, how often, and what never is."""

from collections.abc import Callable

import pytest
from aiohttp import ClientConnectionError
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from photoorg.errors import NotFoundError, StorageError
from photoorg.store import transient
from photoorg.store.s3errors import explain, is_transient, refusal


class Server:
    endpoint_url: str | None = "http://s3.test"
    anonymous = False


def answer(code: str, status: int) -> ClientError:
    parts = {
        "Error": {"Code": code, "Message": "m"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(parts, "PutObject")


def wrapped(error: Exception) -> Exception:
    """As s3fs raises it: an OSError whose cause is the server's answer."""
    outer = OSError("said the server")
    outer.__cause__ = error
    return outer


PASSING = [
    answer("SlowDown", 503),
    answer("Throttling", 400),
    answer("RequestTimeout", 400),
    answer("InternalError", 500),
    answer("", 502),
    answer("", 429),
    EndpointConnectionError(endpoint_url="http://s3.test"),
    ConnectTimeoutError(endpoint_url="http://s3.test"),
    ReadTimeoutError(endpoint_url="http://s3.test"),
    ClientConnectionError("reset"),
    ConnectionResetError("reset"),
    TimeoutError("slow"),
]
LASTING = [
    answer("AccessDenied", 403),
    answer("SignatureDoesNotMatch", 403),
    answer("RequestTimeTooSkewed", 403),
    answer("NoSuchKey", 404),
    answer("NoSuchBucket", 404),
    answer("404", 404),
    answer("PreconditionFailed", 412),
    answer("InvalidArgument", 400),
    answer("NotImplemented", 501),
    NoCredentialsError(),
    ValueError("bad"),
]


@pytest.mark.parametrize("error", PASSING, ids=str)
@pytest.mark.parametrize("wrap", [wrapped, lambda e: e])
def test_what_may_pass_is_tried_again(wrap: Callable[..., Exception], error: Exception) -> None:
    assert is_transient(wrap(error))
    assert is_transient(refusal(wrap(error))) or refusal(error).status == 0
    explained = explain(refusal(wrap(error)), "b", "k", Server())
    assert isinstance(explained, StorageError) and explained.retryable


@pytest.mark.parametrize("error", LASTING, ids=str)
@pytest.mark.parametrize("wrap", [wrapped, lambda e: e])
def test_what_stays_is_not(wrap: Callable[..., Exception], error: Exception) -> None:
    assert not is_transient(wrap(error))
    if not isinstance(error, ValueError):
        explained = explain(refusal(wrap(error)), "b", "k", Server())
        assert isinstance(explained, StorageError | NotFoundError) and not explained.retryable
        assert explained.fix


def attempts_of(error: Exception, limit: int, fails: int) -> tuple[int, Exception | str]:
    tried = 0

    def operation() -> str:
        nonlocal tried
        tried += 1
        if tried <= fails:
            raise error
        return "done"

    try:
        result: Exception | str = transient.persist(
            operation, attempts=limit, transient=is_transient, what="test"
        )
    except Exception as raised:
        result = raised
    return tried, result


def test_a_passing_error_is_got_over() -> None:
    assert attempts_of(answer("SlowDown", 503), limit=3, fails=1) == (2, "done")


def test_attempts_come_to_an_end_with_the_last_error() -> None:
    error = ConnectionResetError("gone")
    assert attempts_of(error, limit=2, fails=9) == (2, error)


def test_a_lasting_error_is_raised_at_once() -> None:
    error = answer("AccessDenied", 403)
    assert attempts_of(error, limit=5, fails=9) == (1, error)
