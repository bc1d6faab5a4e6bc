"""The table of endings, a test for each row: what came of an inference, and what follows from it."""

from typing import Any

import pytest

from ingot.dialects.dialect import Usage
from ingot.services import endings
from ingot.services.door import Outcome
from ingot.services.endings import Ending, ending_of

TOLD = Usage(input=9, output=4)
GUESSED = Usage(input=9, output=4, estimated=True)
NOTHING_CAME = Usage(input=9, estimated=True)


def ended(**fields: Any) -> Ending:
    """The ending of an inference that reached a target."""
    return ending_of(Outcome(attempts=1, **fields))


def follows(row: Ending) -> tuple[str, str, bool, bool, bool]:
    """State, record, bill, content and key."""
    return (row.state, row.recorded, row.billed, row.kept, row.final)


def test_completed_when_the_answer_and_its_usage_came() -> None:
    """Billed as told, kept, and given again for its key; also where it has no output, as an embedding."""
    assert ended(status=200, usage=TOLD) is endings.COMPLETED
    assert ended(status=200, usage=Usage(input=9)) is endings.COMPLETED
    assert follows(endings.COMPLETED) == ("completed", "always", True, True, True)


def test_estimated_when_the_answer_came_without_usage() -> None:
    """As a completed one."""
    assert ended(status=200, usage=GUESSED) is endings.ESTIMATED
    assert ended(status=200) is endings.ESTIMATED
    assert follows(endings.ESTIMATED) == ("completed", "always", True, True, True)


@pytest.mark.parametrize("usage", [TOLD, GUESSED])
def test_broken_when_the_stream_ended_in_an_error_after_output(usage: Usage) -> None:
    """What came is billed and kept, and its key gets the same broken stream again."""
    assert ended(status=200, error="upstream_error", usage=usage) is endings.BROKEN
    assert follows(endings.BROKEN) == ("failed", "always", True, True, True)


@pytest.mark.parametrize("usage", [None, NOTHING_CAME, Usage(input=9)])
def test_broken_early_when_the_stream_ended_in_an_error_before_output(usage: Usage | None) -> None:
    """Nothing is billed, and the key is free for another try."""
    assert ended(status=200, error="upstream_error", usage=usage) is endings.BROKEN_EARLY
    assert follows(endings.BROKEN_EARLY) == ("failed", "always", False, False, False)


@pytest.mark.parametrize("usage", [TOLD, GUESSED])
def test_left_when_the_client_went_after_output(usage: Usage) -> None:
    """What came is billed, whatever became of the rest."""
    assert ended(status=200, departed=True, usage=usage) is endings.LEFT
    assert follows(endings.LEFT) == ("cancelled", "always", True, True, True)


@pytest.mark.parametrize("status", [200, 499])
def test_left_early_when_the_client_went_before_output(status: int) -> None:
    """There is a record, and no bill."""
    assert ended(status=status, departed=True) is endings.LEFT_EARLY
    assert ended(status=status, departed=True, usage=NOTHING_CAME) is endings.LEFT_EARLY
    assert follows(endings.LEFT_EARLY) == ("cancelled", "always", False, False, False)


def test_refused_when_the_target_had_the_last_word() -> None:
    """It is an outcome for its key, and without one leaves nothing."""
    assert ended(status=422, error="invalid_value", refused=True) is endings.REFUSED
    assert follows(endings.REFUSED) == ("failed", "keyed", False, False, True)


@pytest.mark.parametrize("status", [400, 500, 502, 503, 504])
def test_failed_when_no_target_answered(status: int) -> None:
    """There is a record, no bill, and the key is free, whichever status a preset gives it."""
    assert ended(status=status, error="upstream_error", ours=True) is endings.FAILED
    assert follows(endings.FAILED) == ("failed", "always", False, False, False)


def test_never_ran_when_no_target_was_asked_or_all_were_busy() -> None:
    """Neither a record nor a bill."""
    assert ending_of(Outcome(status=503, error="overloaded")) is endings.NEVER_RAN
    assert ending_of(Outcome(status=499, departed=True)) is endings.NEVER_RAN
    assert ended(status=429, error="rate_limit_exceeded") is endings.NEVER_RAN
    assert ended(status=400, error="unsupported") is endings.NEVER_RAN
    assert follows(endings.NEVER_RAN)[1:] == ("never", False, False, False)


def test_rows_when_what_is_billed_is_compared() -> None:
    """What is billed is recorded and is an outcome for its key: a retry is never paid a second time."""
    rows = [each for each in vars(endings).values() if isinstance(each, Ending)]
    assert len(rows) == 9
    assert all(each.final and each.kept and each.recorded == "always" for each in rows if each.billed)
