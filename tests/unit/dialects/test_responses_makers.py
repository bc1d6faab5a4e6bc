"""Whose sealed items are: what is found in answers and requests, and which target gets it."""

import json
from typing import Any

from ingot.dialects.dialect import Call, Past
from ingot.dialects.responses import RESPONSES
from ingot.dialects.responses_makers import attributed, claimed, sealed_out, taken_by, unclaimed
from ingot.dialects.responses_state import NOBODY, for_target
from ingot.sse import encode_event

THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "one"}
OTHER = {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "two"}
OURS = {"type": "reasoning", "id": "rs_3", "summary": [], "encrypted_content": "ingot1.three"}
COMPACTED = {"type": "compaction", "id": "cmp_1", "encrypted_content": "four"}
HI = {"role": "user", "content": 'say "encrypted_content"'}


def call_of(*items: Any) -> Call:
    """A request with these items, of whose sealed ones THOUGHT and COMPACTED are known to be of `up`."""
    call = RESPONSES.decode(json.dumps({"model": "m", "input": list(items)}).encode())
    past = [Past(item) for item in items]
    return attributed(call, claimed(past, unclaimed(past), {"one": "up", "four": "up"}))


def test_sealed_content_is_found_when_an_answer_holds_it() -> None:
    """Whole and streamed, each once; what we sealed and what is no seal is not."""
    output = [
        THOUGHT,
        OURS,
        {**THOUGHT, "id": "rs_9"},
        COMPACTED,
        {"type": "message", "encrypted_content": "odd"},
    ]
    whole = json.dumps({"output": output}).encode()
    assert sealed_out(whole, streamed=False) == ["one", "four"]
    events = [{"type": "response.output_item.done", "item": item} for item in (*output, OTHER)]
    stream = b"".join(encode_event(json.dumps(event).encode()) for event in events)
    assert sealed_out(stream, streamed=True) == ["one", "four", "two"]
    assert sealed_out(b'{"encrypted_content"', streamed=False) == []
    assert sealed_out(b'{"output":[]}', streamed=False) == []


def test_bytes_stay_when_makers_are_told() -> None:
    """To the maker itself all goes as the client wrote it."""
    call = call_of(THOUGHT, COMPACTED, HI)
    assert [maker for maker, _ in call.referred] == ["up", "up", None]
    assert for_target(call, "up", native=True) is call


def test_thoughts_stay_behind_when_the_target_did_not_make_them() -> None:
    """Another's, and those of nobody; both are told by their places, and ours were left out before."""
    fitted = for_target(call_of(HI, THOUGHT, OTHER, OURS), "down", native=True)
    assert json.loads(fitted.body.data)["input"] == [HI]
    assert [loss.path for loss in fitted.losses] == ["input[1]", "input[2]", "input[3]"]
    assert "nobody knows" in fitted.losses[1].reason
    fitted = for_target(call_of(HI, THOUGHT, OTHER), "up", native=True)
    assert [loss.path for loss in fitted.losses] == ["input[2]"]


def test_compaction_stays_behind_when_the_target_did_not_make_it() -> None:
    """In other words, for with it all is lost that it stood for."""
    [loss] = for_target(call_of(COMPACTED, HI), "down", native=True).losses
    assert "compacted" in loss.reason


def test_thoughts_of_nobody_go_along_when_they_are_trusted() -> None:
    """Those of a known maker do not, and a call without any is the same."""
    call = call_of(THOUGHT, OTHER, HI)
    assert call.referred[1][0] == NOBODY
    fitted = for_target(taken_by(call, "down"), "down", native=True)
    assert [item.get("id") for item in fitted.body.value["input"]] == ["rs_2", None]
    known = call_of(THOUGHT, HI)
    assert taken_by(known, "down") is known
