"""Counts that do not add up: no client is told a part that is larger than its whole."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.canonical import Usage
from ingot.dialects import messages_usage, responses_usage, usage
from ingot.dialects.codecs import CODECS
from ingot.dialects.codecs.counts import bounded
from ingot.services.translation import counts_of

COUNTS = st.integers(0, 50)
PARTS = st.none() | COUNTS
READ = {"chat": usage.usage_at, "messages": messages_usage.usage_at, "responses": responses_usage.usage_at}


def test_parts_when_they_exceed_their_whole() -> None:
    """Each is cut, the split of a cut one is left out, and what was not told stays untold."""
    by = {"5m": 4}
    told = Usage(
        input=7, output=2, cached_input=1000, cache_write=4, cache_write_by=by, reasoning=9, audio_input=8
    )
    assert bounded(told) == Usage(
        input=7, output=2, cached_input=7, cache_write=0, reasoning=2, audio_input=7
    )
    whole = Usage(input=7, output=2, cached_input=3, cache_write=4, cache_write_by=by)
    assert bounded(whole) == whole


@pytest.mark.parametrize("dialect", ["chat", "messages", "responses"])
@given(read=COUNTS, output=COUNTS, cached=PARTS, written=PARTS, thought=PARTS)
def test_answer_tells_what_is_billed_whatever_the_target_counted(
    dialect: str, read: int, output: int, cached: int | None, written: int | None, thought: int | None
) -> None:
    """Read back by those who prove the ledger, the counts of an answer are those of its row."""
    told = Usage(input=read, output=output, cached_input=cached, cache_write=written, reasoning=thought)
    answer = json.loads(json.dumps({"usage": CODECS[dialect].encode_usage(told)}))
    found, billed = READ[dialect](answer), counts_of(told)
    assert found is not None
    assert (found.input, found.cached_input) == (billed.input, billed.cached_input)
    assert (found.output, found.reasoning) == (billed.output, billed.reasoning)
