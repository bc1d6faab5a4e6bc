"""Responses told once more as streams, folded back, and gone on from."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import upstream_responses as theirs
from ingot.dialects.dialect import Past, Stamp
from ingot.dialects.fold import Unfoldable
from ingot.dialects.responses import RESPONSES
from ingot.dialects.responses_fold import assemble
from ingot.dialects.responses_replay import replay
from ingot.dialects.responses_state import continued, for_target, holder_of, items_in, named, own_place
from ingot.errors import UpstreamTimeout
from ingot.sse import SseSplitter, event_data
from upstream_script import Step

TEXT = st.text(max_size=20)
THOUGHT = st.fixed_dictionaries({"type": st.just("summary_text"), "text": TEXT})
PART = st.one_of(
    st.fixed_dictionaries(
        {
            "type": st.just("output_text"),
            "text": TEXT,
            "annotations": st.lists(
                st.just({"type": "url_citation", "url": "https://a.example"}), max_size=2
            ),
            "logprobs": st.just([]),
        }
    ),
    st.fixed_dictionaries({"type": st.just("refusal"), "refusal": TEXT}),
)
ITEM = st.one_of(
    st.fixed_dictionaries(
        {
            "type": st.just("message"),
            "role": st.just("assistant"),
            "status": st.just("completed"),
            "content": st.lists(PART, max_size=3),
        }
    ),
    st.fixed_dictionaries({"type": st.just("reasoning"), "summary": st.lists(THOUGHT, max_size=2)}),
    st.fixed_dictionaries(
        {
            "type": st.just("function_call"),
            "call_id": TEXT,
            "name": TEXT,
            "arguments": TEXT,
            "status": st.just("completed"),
        }
    ),
    st.fixed_dictionaries({"type": st.just("web_search_call"), "status": st.just("completed")}),
)


def data_of(stream: bytes) -> list[dict[str, Any]]:
    """The data of a stream's events."""
    found = [event_data(event) for event in SseSplitter().feed(stream)]
    return [json.loads(each) for each in found if each is not None]


def call_of(**fields: Any) -> Any:
    """A call with a stamp."""
    call = RESPONSES.decode(json.dumps({"model": "m", "input": "hi", **fields}).encode())
    return msgspec.structs.replace(call, stamp=Stamp(id="resp_ours", asked=call.body, now=lambda: 9.0))


@given(st.lists(ITEM, max_size=4), st.sampled_from(["completed", "incomplete", "failed"]))
def test_stream_spells_the_response_when_it_is_told_again(items: list[dict[str, Any]], status: str) -> None:
    """Numbers from 0, the start before all, and folding the events without the last gives every item again."""
    output = [{"id": f"i_{index}", **item} for index, item in enumerate(items)]
    response = {"id": "resp_1", "object": "response", "status": status, "output": output}
    events = replay(json.dumps(response).encode())
    told = data_of(b"".join(events))
    assert [event["sequence_number"] for event in told] == list(range(len(events)))
    assert [event["type"] for event in told[:2]] == ["response.created", "response.in_progress"]
    assert (told[-1]["type"], told[-1]["response"]) == (f"response.{status}", response)
    assert json.loads(assemble(b"".join(events))) == response
    assert json.loads(assemble(b"".join(events[:-1])))["output"] == output
    deltas = [event for event in told if event["type"].endswith(".delta")]
    assert "".join(
        event["delta"] for event in deltas if event["type"] == "response.output_text.delta"
    ) == "".join(
        part["text"] for item in output for part in item.get("content") or () if part["type"] == "output_text"
    )


@given(
    st.integers(2, 30),
    st.sampled_from(["words: 6", "think: a b c", 'call f with {"a": 1}', "refuse: no way"]),
)
@settings(max_examples=40)
def test_partial_output_is_told_when_a_stream_ends_early(count: int, prompt: str) -> None:
    """Wherever it is cut: one `response.failed`, numbered on, with the text that came."""
    tools = [{"type": "function", "name": "f", "parameters": None, "strict": None}]
    body = {"model": "m", "input": prompt, "tools": tools}
    sent = theirs.response_events(body)[: count + 1]
    if sent[-1]["type"] == "response.completed":
        sent.pop()
    tap = RESPONSES.tap(call_of(**body), model="m", public="m")
    for event in sent:
        tap.feed(json.dumps(event).encode())
    (last,) = data_of(tap.fail(UpstreamTimeout("Too slow."), "req_1"))
    assert (last["type"], last["sequence_number"]) == ("response.failed", len(sent))
    assert last["response"]["error"] == {"code": "server_error", "message": "Too slow."}
    assert last["response"]["id"] == "resp_ours"
    came = "".join(event["delta"] for event in sent if event["type"].endswith(".delta"))
    assert "".join(words(last["response"]["output"])) == came
    replayed = data_of(tap.given)
    assert [event["sequence_number"] for event in replayed] == list(range(len(replayed)))
    assert replayed[-1]["response"] == last["response"]


def words(output: list[dict[str, Any]]) -> list[str]:
    """All texts of some items, in order."""
    found = []
    for item in output:
        found += [item[name] for name in ("arguments", "input") if name in item]
        for part in [*(item.get("summary") or ()), *(item.get("content") or ())]:
            found.append(part.get("text") or part.get("refusal") or "")
    return found


def test_stream_begins_with_an_error_when_nothing_came() -> None:
    """Flat, as clients of the dialect read it, with the number 0."""
    tap = RESPONSES.tap(call_of(), model="m", public="m")
    (told,) = data_of(tap.fail(UpstreamTimeout("Too slow."), "req_1"))
    assert told == {
        "type": "error",
        "code": "upstream_timeout",
        "message": "Too slow.",
        "param": None,
        "sequence_number": 0,
    }


def test_end_is_taken_back_when_it_cannot_be_recorded() -> None:
    """An end that was not given is not in what a retry gets, and its number is the failure's."""
    tap = RESPONSES.tap(call_of(), model="m", public="m")
    sent = theirs.response_events({"model": "m", "input": "echo: hi"})
    for event in sent:
        tap.feed(json.dumps(event).encode())
    assert tap.done
    (last,) = data_of(tap.fail(UpstreamTimeout("Too slow."), "req_1"))
    assert (last["type"], last["sequence_number"]) == ("response.failed", len(sent) - 1)
    kinds = [event["type"] for event in data_of(tap.given)]
    assert "response.completed" not in kinds
    assert kinds[-1] == "response.failed"


@pytest.mark.parametrize("usage", ["null", "missing", "text", "negative"])
def test_text_is_measured_when_the_target_tells_no_usage(usage: Any) -> None:
    """Pieces and characters of what came, for an estimate."""
    body = {"model": "m", "input": "echo: one two three"}
    tap = RESPONSES.tap(call_of(), model="m", public="m")
    for event in theirs.response_events(body, step=Step(usage=usage)):
        tap.feed(json.dumps(event).encode())
    assert tap.usage is None
    assert (tap.said.pieces, tap.said.characters) == (3, len("one two three"))
    assert tap.uncounted == tap.said


def test_output_is_measured_when_only_the_end_tells_it() -> None:
    """Some servers send no pieces."""
    tap = RESPONSES.tap(call_of(), model="m", public="m")
    end = theirs.response_events({"model": "m", "input": "echo: one two"}, step=Step(usage="null"))[-1]
    tap.feed(json.dumps(end).encode())
    assert (tap.done, tap.said.characters) == (True, len("one two"))


@pytest.mark.parametrize(
    "stream",
    [b"", b"data: x\n\n", b"data: []\n\n", b'data: {"type":"response.output_text.delta","delta":"x"}\n\n'],
)
def test_stream_is_not_folded_when_it_is_no_response(stream: bytes) -> None:
    """Then the events themselves are kept."""
    with pytest.raises(Unfoldable):
        assemble(stream)


@pytest.mark.parametrize(
    ("item_id", "holder"),
    [
        (f"msg_{'a' * 28}0000", f"resp_{'a' * 28}"),
        (f"fc_{'a' * 28}i000b", f"resp_{'a' * 28}"),
        ("msg_theirs", None),
        (f"msg_{'a' * 28}", None),
        ("", None),
    ],
)
def test_response_is_told_by_an_items_id_when_it_is_ours(item_id: str, holder: str | None) -> None:
    """Ids of targets tell nothing."""
    assert holder_of(item_id) == holder


def test_items_are_shown_whole_when_their_client_was_brief() -> None:
    """Ids, types, states and parts, as clients read them; what was said stays."""
    request = {
        "input": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "ho"},
            {"type": "function_call", "id": "fc_mine", "call_id": "c", "name": "f", "arguments": "{}"},
        ]
    }
    shown = items_in(json.dumps(request).encode(), f"resp_{'a' * 28}")
    assert [item["id"] for item in shown] == [f"msg_{'a' * 28}i0000", f"msg_{'a' * 28}i0001", "fc_mine"]
    assert [item["type"] for item in shown] == ["message", "message", "function_call"]
    assert shown[0]["content"] == [{"type": "input_text", "text": "hi"}]
    assert shown[1]["content"] == [{"type": "output_text", "text": "ho", "annotations": []}]


def test_thoughts_of_ours_are_left_out_when_a_client_sends_them_to_a_target() -> None:
    """What we sealed, and items under our ids, mean nothing to a target; its own go as they are."""
    ours = f"rs_{'a' * 28}0001"
    theirs_ = {"type": "reasoning", "id": "rs_68af", "summary": [], "encrypted_content": "x"}
    told = [
        {"type": "reasoning", "id": ours, "summary": [], "encrypted_content": "ingot1.abc"},
        {
            "type": "reasoning",
            "id": ours,
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "hm"}],
        },
        theirs_,
        {"role": "user", "content": "more"},
    ]
    call = call_of(input=told)
    fitted = for_target(call, "up", native=True)
    assert json.loads(fitted.body.data)["input"] == told[2:]
    assert [each.path for each in fitted.losses] == ["input[0]", "input[1]"]
    plain = call_of(input=told[2:])
    assert for_target(plain, "up", native=True) is plain


def test_thoughts_are_left_out_when_they_are_another_targets() -> None:
    """They go to their maker, sealed or open, and to nobody else; what it would have to look up goes nowhere."""
    sealed = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}
    hidden = {"type": "reasoning", "id": "rs_2", "summary": []}
    said = {"type": "message", "id": "msg_1", "role": "assistant", "content": "ho"}
    past = [Past({"role": "user", "content": "hi"}), *(Past(item, "up") for item in (sealed, hidden, said))]
    call = continued(call_of(), past, [Past({"role": "user", "content": "more"})])
    mine = for_target(call, "up", native=True)
    assert [item.get("type") for item in mine.body.value["input"]] == [None, "reasoning", "message", None]
    assert json.loads(mine.body.data) == mine.body.value
    other = for_target(call, "down", native=True).body.value["input"]
    assert [item.get("id") for item in other] == [None, None, None]
    assert [each.path for each in for_target(call, "down", native=True).losses] == ["previous_response_id"]
    translated = for_target(call, "up", native=False)
    # The codec tells of them.
    assert [item.get("type") for item in translated.body.value["input"]] == [
        None,
        *["reasoning"] * 2,
        "message",
        None,
    ]
    assert not any("id" in item for item in translated.body.value["input"])
    again = for_target(continued(call_of(), past, [Past(sealed)]), "down", native=True)
    assert again.body.value["input"] == other[:2]
    assert again.losses[-1].path == "input"
    (unsealed,) = mine.losses
    assert (unsealed.path, unsealed.kind) == ("previous_response_id", "default")
    assert own_place("input[3].content", mine) == "input"
    assert own_place("input[2].content", mine) == "previous_response_id"
    assert own_place("tools[0].type", mine) == "tools[0].type"


def test_place_is_the_conversation_when_it_holds_the_item() -> None:
    """What is wrong with an item of a conversation is told of that, also before the call has its stamp."""
    item = {"type": "message", "role": "user", "content": "x"}
    for fields, place in (
        ({"conversation": "conv_1"}, "conversation"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
    ):
        call = RESPONSES.decode(json.dumps({"model": "m", "input": [item], **fields}).encode())
        whole = continued(call, [Past(item)], [Past(item)])
        assert own_place("input[0].content[0].image_url", whole) == place
        assert own_place("input[1].content[0].image_url", whole) == "input[0].content[0].image_url"


def test_items_are_named_when_their_ids_tell_nothing() -> None:
    """The answer's before the request's, the newest first, each once; references and ids of ours are no names."""
    own = f"resp_{'a' * 28}"
    told = [
        {"id": "msg_old", "role": "user", "content": "x"},
        {"role": "user", "content": "x"},
        {"id": "msg_0", "type": "message", "role": "user", "content": "x"},
        {"id": "msg_there"},
        {"type": "item_reference", "id": "msg_there"},
        {"type": "reasoning", "id": f"rs_{'b' * 28}0000"},
    ]
    output = [{"id": "msg_0"}, {"id": f"msg_{'a' * 28}0001"}, {"id": 7}, {"id": "fc_1"}]
    answer = json.dumps({"output": output}).encode()
    found = named(json.dumps({"input": told}).encode(), answer, own)
    assert found == ["fc_1", "msg_0", f"rs_{'b' * 28}0000", "msg_old"]
    assert named(b'{"input":"x"}', answer, own) == ["fc_1", "msg_0"]
    for broken in (b"data: {}", b'{"output":{}}', b"[]"):
        with pytest.raises(ValueError, match=r"JSON|Expected"):
            named(b"{}", broken, own)
