"""Windows as rows: what is due when, what is lifted when, what a missed promise leads to (Q12, C-60, C-63, C-66)."""

import pytest

from ingot.scheduling.windows import ASAP, FLEX, PRIORITY, STANDARD, WINDOWS, Window, ramp, usual


def test_windows_that_ship_are_ordered_by_length() -> None:
    """Asap is never queued; the others promise a minute, five minutes and a day."""
    assert [(each.name, each.seconds) for each in WINDOWS.values()] == [
        ("asap", 0.0),
        ("priority", 60.0),
        ("standard", 300.0),
        ("flex", 86_400.0),
    ]
    assert [each.name for each in WINDOWS.values() if not each.queued] == ["asap"]
    assert [each.name for each in WINDOWS.values() if each.background_only] == ["flex"]


def test_due_when_the_item_is_of_a_batch() -> None:
    """A single standard item is due in five minutes, an item of a batch in a day (Q12)."""
    assert STANDARD.due(1000.0) == 1300.0
    assert STANDARD.due(1000.0, batch=True) == 87_400.0


@pytest.mark.parametrize("window", [ASAP, PRIORITY])
def test_due_when_the_window_takes_no_batches(window: Window) -> None:
    """Asap and priority are refused for batch items by name (C-63)."""
    assert not window.batchable
    with pytest.raises(ValueError, match=f'"{window.name}" takes no batches'):
        window.due(0.0, batch=True)


def test_ramp_grows_slower_than_its_window() -> None:
    """59 minutes of a day, and never more than a twentieth of a window (Q12)."""
    assert round(ramp(86_400.0) / 60) == 59
    assert ramp(300.0) == pytest.approx(15.0)
    assert all(ramp(seconds) <= seconds / 20 for seconds in (1.0, 60.0, 3600.0, 86_400.0))


def test_lift_at_leaves_time_for_the_work_and_the_ramp() -> None:
    """An item is lifted when what is left is its predicted service and the margin, and not before it is there."""
    assert STANDARD.lift_at(0.0, service=40.0) == pytest.approx(300.0 - 40.0 - 15.0)
    assert PRIORITY.lift_at(0.0, service=10.0) == 35.0
    assert PRIORITY.lift_at(7.0, service=100.0) == 7.0


def test_missed_when_a_batch_is_late() -> None:
    """A single item is carried on with, a batch ends at its due time; a row may say otherwise."""
    assert (STANDARD.missed(), STANDARD.missed(batch=True)) == ("escalate", "fail")
    assert Window(name="own", seconds=10.0, on_miss="refund").missed() == "refund"


def test_usual_when_a_request_names_no_window() -> None:
    """Standard where the model has it, else the first that it has (C-03)."""
    assert usual(["asap", "standard"]) == "standard"
    assert usual([FLEX.name, ASAP.name]) == "flex"
