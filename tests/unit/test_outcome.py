"""What the end of a handler means, without a worker."""

from typing import Any

import pytest
from celery.exceptions import MaxRetriesExceededError, Reject, Retry

from celery_inbox.errors import ConfigurationError
from celery_inbox.worker.outcome import MAX_TRACEBACK, check_options, last_failure, reason_of, traceback_of


@pytest.mark.parametrize(
    ("raised", "failure", "text"),
    [
        (ValueError("no"), ValueError, "no"),
        (Retry(exc=ValueError("no")), ValueError, "no"),
        (Retry("later", when=3), MaxRetriesExceededError, "Retry: "),
        (Reject("not now", requeue=True), MaxRetriesExceededError, "Reject: not now"),
        (Reject(ValueError("no"), requeue=True), ValueError, "no"),
        (Reject("not for us"), Reject, "not for us"),
    ],
    ids=["exception", "retry for one", "retry", "requeue", "requeue for one", "reject"],
)
def test_after_the_last_attempt_celery_is_told_of_a_failure_and_not_of_another_try(
    raised: Exception, failure: type[Exception], text: str
) -> None:
    """The exception behind its words; where there is none, what Celery raises when retries are used up."""
    told = last_failure(raised)
    assert type(told) is failure
    assert text in str(told)


@pytest.mark.parametrize("kwargs", [{"max_retries": 3}, {"countdown": 5, "max_retries": None}])
def test_max_retries_is_refused_among_the_options_of_autoretry(kwargs: dict[str, Any]) -> None:
    """At decoration, for in a worker it would turn every failure into a ConfigurationError."""
    with pytest.raises(ConfigurationError, match="say max_attempts"):
        check_options({"autoretry_for": (OSError,), "retry_kwargs": kwargs})


def test_other_options_of_autoretry_go_to_celery() -> None:
    """As they are."""
    given = {"autoretry_for": (OSError,), "retry_kwargs": {"countdown": 5}, "retry_backoff": True}
    assert check_options(given | {"max_attempts": 3})[1] == given


class Unspeakable(Exception):
    """Has neither a text nor a representation."""

    def __str__(self) -> str:
        raise TypeError("no text")

    __repr__ = __str__


@pytest.mark.parametrize(
    "error", [Unspeakable(), OSError("file \udcff"), ValueError("x" * 2 * MAX_TRACEBACK)], ids=type
)
def test_whatever_an_exception_says_can_be_stored(error: Exception) -> None:
    """A settlement that its words broke would leave the batch to the end of its lease."""
    for words in (reason_of(error), traceback_of(error)):
        assert 0 < len(words) <= MAX_TRACEBACK
        assert words.encode().decode() == words
    assert reason_of(error).startswith(type(error).__name__)
