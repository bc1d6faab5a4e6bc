"""Every feature between every pair of dialects: the golden files, and what holds for all of them.

`pairs.exchange` says what the files hold and writes them. Between two dialects a file says what happens; within one
dialect nothing does: its bytes are the client's and the target's own.
"""

import json
from typing import Any

import pytest
from msgspec import structs

from canonicalforms import bare
from ingot.canonical import Answer, AnyPart, Origin, ToolCall
from ingot.catalog import Quirks
from ingot.events import fold
from ingot.rawjson import Body
from ingot.sse import SseSplitter, event_data
from pairs.asked import ANSWERS, ASKED
from pairs.exchange import (
    CHECKS,
    CODECS,
    FOLDER,
    PAIRS,
    RELAYS,
    SAME,
    STREAMED,
    answer,
    dumped,
    events,
    golden,
    send,
    stream,
)
from pairs.streams import STREAMS
from pairs.told import TOLD

# Told at once they become an object, of which a stream that has told them already cannot say more.
PIECES = "its arguments are no JSON object: their pieces are told as they are"
TOGETHER = "its arguments are no JSON object: they are sent as the text of a member 'input' of one"

requests = pytest.mark.parametrize(
    ("feature", "client", "target"),
    [
        (feature, client, target)
        for feature in ASKED
        for client, target in PAIRS
        if client in ASKED[feature] and feature not in ANSWERS
    ],
)
answers = pytest.mark.parametrize(
    ("feature", "client", "target"),
    [
        (feature, client, target)
        for feature in TOLD
        for client, target in PAIRS
        if client in ASKED[feature]
        and target in TOLD[feature]
        and (client != target or feature != "usage_unknown")
    ],
)
one_dialect = pytest.mark.parametrize(
    ("feature", "name"), [(feature, name) for feature in ASKED for name in ASKED[feature]]
)


def read(data: bytes, name: str) -> Answer:
    """A client's answer as its own codec reads it."""
    whole, losses = CODECS[name].decode_answer(data, Origin(CODECS[name].name))
    assert losses == ()
    return whole


def read_stream(data: bytes, name: str) -> Answer:
    """A client's stream, likewise."""
    decoder = CODECS[name].decode_stream(Origin(CODECS[name].name), 1)
    told = []
    for event in SseSplitter().feed(data):
        held = event_data(event)
        if held is not None:
            told += decoder.feed(held)
    return fold([*told, *decoder.close()])


@pytest.mark.parametrize("feature", ASKED)
def test_feature_when_it_passes_between_dialects(feature: str) -> None:
    """Target and client get what is written down, and what is lost is listed with its place and a reason."""
    assert golden(feature) == json.loads((FOLDER / f"{feature}.json").read_bytes())


def test_features_when_counted() -> None:
    """There is a file for each, and none for what is gone."""
    assert {path.stem for path in FOLDER.iterdir()} == set(ASKED) >= set(TOLD)


@requests
def test_request_when_it_reaches_its_target(feature: str, client: str, target: str) -> None:
    """It is one that this dialect's own clients may send; a stream differs in being asked for as one."""
    sent = send(ASKED[feature][client], client, target)
    assert isinstance(CHECKS[target](sent.data), Body)
    streamed = send(ASKED[feature][client], client, target, stream=True)
    told, told_streamed = json.loads(sent.data), json.loads(streamed.data)
    assert told_streamed == {**told, **STREAMED[target]}
    assert streamed.losses == sent.losses


@answers
def test_stream_when_it_reaches_its_client(feature: str, client: str, target: str) -> None:
    """It says what the same answer says at once, and loses the same."""
    told = TOLD[feature][target]
    whole, unsaid = answer(told, send(ASKED[feature][client], client, target), client, target)
    streamed = send(ASKED[feature][client], client, target, stream=True)
    given, unsaid_streamed = stream(STREAMS[target](told), streamed, client, target)
    known = {(loss.path, TOGETHER if loss.reason == PIECES else loss.reason) for loss in unsaid_streamed}
    assert known == {(loss.path, loss.reason) for loss in unsaid}
    if PIECES not in {loss.reason for loss in unsaid_streamed}:
        assert comparable(read_stream(given, client)) == comparable(read(whole, client))


def comparable(told: Answer) -> Answer:
    """What an answer says, whoever spelled it: arguments as JSON, and no tier where it is the default."""
    outputs = tuple(
        structs.replace(output, parts=tuple(_respelled(part) for part in output.parts))
        for output in told.outputs
    )
    tier = None if told.service_tier == "default" else told.service_tier
    return bare(structs.replace(told, id="", created=None, service_tier=tier, outputs=outputs))


def _respelled(part: AnyPart) -> AnyPart:
    if not isinstance(part, ToolCall):
        return part
    try:
        return structs.replace(part, arguments=dumped(json.loads(part.arguments)).decode())
    except ValueError:
        return part


@answers
def test_stream_when_its_events_are_compared(feature: str, client: str, target: str) -> None:
    """What the golden files leave out is the same in all of them; numbers count up."""
    sent = send(ASKED[feature][client], client, target, stream=True)
    given, _ = stream(STREAMS[target](TOLD[feature][target]), sent, client, target)
    told = [event for event in events(given) if isinstance(event, dict)]
    for name in SAME[client] - {"sequence_number", "item_id"}:
        assert len({event[name] for event in told}) == 1
    if client == "responses":
        assert [event["sequence_number"] for event in told] == list(range(len(told)))


@one_dialect
def test_request_when_its_target_speaks_the_same(feature: str, name: str) -> None:
    """The client's very bytes go out; through the canonical form they would say the same, with nothing lost."""
    asked = ASKED[feature][name]
    data = dumped(asked)
    call = RELAYS[name].decode(data)
    assert RELAYS[name].prepare(call, model="demo", quirks=Quirks()) == data
    sent = send(asked, name, name)
    assert sent.losses == ()
    again = send(json.loads(sent.data), name, name)
    assert again.data == sent.data
    assert bare(again.request) == bare(structs.replace(sent.request, model="upstream-model"))


@pytest.mark.parametrize(("feature", "name"), [(each, name) for each in TOLD for name in TOLD[each]])
def test_answer_when_its_client_speaks_the_same(feature: str, name: str) -> None:
    """The target's very bytes come back, whole and streamed; through the canonical form nothing would be lost."""
    told: dict[str, Any] = {**TOLD[feature][name], "model": "demo"}
    asked = ASKED[feature][name]
    data, streamed = dumped(told), STREAMS[name](told)
    call = RELAYS[name].decode(dumped({**asked, **STREAMED[name]}))
    assert RELAYS[name].patch_answer(data, "demo") == data
    tap = RELAYS[name].tap(call, model="demo", public="demo")
    for event in SseSplitter().feed(streamed):
        held = event_data(event)
        assert held is None or tap.feed(held) is held
    if feature == "usage_unknown":
        # A client of messages must be told some counts; that they are ours is a loss between all dialects.
        return
    sent = send(asked, name, name)
    back, unsaid = answer(told, sent, name, name)
    assert comparable(read(back, name)) == comparable(read(data, name))
    _, unsaid_streamed = stream(streamed, sent, name, name)
    assert unsaid == unsaid_streamed == ()
