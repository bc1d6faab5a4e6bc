"""What runs beside the requests: it outlives its faults, and each is in the log."""

import asyncio
import re

import pytest

from ingot.upkeep import endure
from repository import ROOT
from treasury import Lines


async def test_endure_when_the_work_fails() -> None:
    """A fault of whatever kind is logged with its name, and the work begins anew until it returns."""
    faults: list[Exception] = [ValueError("a bad row"), KeyError("another")]
    log = Lines()

    async def work() -> None:
        if faults:
            raise faults.pop(0)

    await endure(work, name="renewals", log=log, pause=0)
    assert [event for event, _ in log.said] == ["upkeep_failed"] * 2
    assert [(fields["work"], type(fields["exc_info"])) for _, fields in log.said] == [
        ("renewals", ValueError),
        ("renewals", KeyError),
    ]


async def test_endure_when_cancelled() -> None:
    """The end of the process is no fault."""
    log, begun = Lines(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(endure(work, name="renewals", log=log, pause=0))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log.said == []


def test_endure_when_a_process_begins_something() -> None:
    """Nothing that runs beside the requests is begun without it, so that no loop ends unheard."""
    for path in (ROOT / "src/ingot/app").glob("*.py"):
        assert not re.search(r"create_task\((?!\s*endure\()", path.read_text()), path.name
