"""Try again what may pass by itself: exponential back-off with jitter, and an end to it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

log = logging.getLogger(__name__)
Result = TypeVar("Result")
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 10.0


def persist(
    operation: Callable[[], Result],
    *,
    attempts: int,
    transient: Callable[[BaseException], bool],
    what: str,
) -> Result:
    """Run `operation` up to `attempts` times while `transient` says its error may pass.

    A wait is drawn anew each time between nothing and a bound that doubles from 0.5 s to 10 s, so
    that many clients do not come back together. The last error is raised as it is.
    """

    def note(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("%s failed (%s), attempt %d.", what, type(error).__name__, state.attempt_number)

    return Retrying(
        stop=stop_after_attempt(attempts),
        wait=wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S),
        retry=retry_if_exception(transient),
        before_sleep=note,
        reraise=True,
    )(operation)
