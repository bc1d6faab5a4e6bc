"""Every row of the conformance suite against our own server under its preset: one test a row and preset.

A row whose surfaces the preset does not offer is skipped by the suite, and must pass as soon as it does.
"""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from conformancehouse import Trial, open_trial
from ingot.conformance import ROWS, Row, try_row
from ingot.presets import load

UNTRIED = {
    "C-30": "a mailbox is needed",
    "C-34": "no part of the API",
    "C-51": "for people",
}
"""Rows that nobody can try here, with what is missing."""

PARAMETERS = [pytest.param(preset, row, id=f"{preset}-{row.id}") for row in ROWS for preset in row.checks]

Under = Callable[[str], Trial]


@pytest.fixture(scope="module")
def under(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Under]:
    """The server under a preset, started when it is first asked for."""
    with contextlib.ExitStack() as stack:
        known: dict[str, Trial] = {}

        def find(preset: str) -> Trial:
            if preset not in known:
                known[preset] = stack.enter_context(open_trial(tmp_path_factory.mktemp(preset), preset))
            return known[preset]

        yield find


@pytest.mark.parametrize(("preset", "row"), PARAMETERS)
async def test_row_holds_under_its_preset(under: Under, preset: str, row: Row) -> None:
    """The verdict is a pass; a skip is one that is known, with its reason."""
    verdict = await try_row(under(preset).subject, row)
    missing = [surface for surface in row.needs if not load(preset).offers(surface)]
    if missing:
        assert (verdict.result, verdict.reason) == ("skip", f"the server has no surface `{missing[0]}`")
    elif row.id in UNTRIED:
        assert verdict.result == "skip", verdict
        assert UNTRIED[row.id] in verdict.reason
    else:
        assert verdict.result == "pass", f"expected {verdict.expected}, saw {verdict.seen}{verdict.reason}"
