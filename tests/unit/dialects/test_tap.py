"""The stream tap: same text for the client whatever the upstream's habits, and what the tap learns meanwhile."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot import rawjson
from ingot.dialects.dialect import Call, Said, Usage
from ingot.dialects.tap import ChatTap

USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


def call(*, wants_usage: bool = False, n: int = 1) -> Call:
    """A streamed call of the model `pub`."""
    body = rawjson.parse(b'{"model":"pub"}')
    return Call(model="pub", body=body, stream=True, wants_usage=wants_usage, n=n)


def tap(*, model: str = "pub", wants_usage: bool = False, n: int = 1) -> ChatTap:
    """A tap on the stream of a target that calls the model `model`."""
    return ChatTap(call(wants_usage=wants_usage, n=n), model=model, public="pub")


def chunk(
    delta: dict[str, Any] | None = None, *, model: str = "pub", reason: str | None = None, **more: Any
) -> bytes:
    """A chunk as most servers write it."""
    choice = {"index": 0, "delta": delta or {}, "logprobs": None, "finish_reason": reason}
    data = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": model,
        "choices": [choice],
        **more,
    }
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()


def texts(events: list[bytes | None]) -> str:
    """What a client reads of these events."""
    chunks = [json.loads(event) for event in events if event is not None]
    return "".join(choice["delta"].get("content") or "" for data in chunks for choice in data["choices"])


def test_feed_when_nothing_changes() -> None:
    """A stream that needs no change comes out as the very objects that went in."""
    watched = tap(wants_usage=True)
    events = [
        chunk({"role": "assistant", "content": ""}, usage=None),
        *[
            chunk({"content": text}, usage=None)
            for text in ("one", " two", ' "three"', " \\", ' \\"', "\n", "é")
        ],
        chunk(reason="stop", usage=None),
        b'{"id":"c","choices":[],"usage":' + json.dumps(USAGE).encode() + b"}",
        b"[DONE]",
    ]
    assert not watched.finished
    for event in events:
        assert watched.feed(event) is event
    assert watched.usage == Usage(input=9, output=3)
    assert (watched.deltas, watched.done, watched.finished, watched.failed) == (7, True, True, False)
    assert watched.reasons == ("stop",)


def test_feed_when_usage_was_not_asked_for() -> None:
    """The usage that was forced upstream leaves no trace: no null key, no event of its own."""
    watched = tap()
    given = [
        watched.feed(event)
        for event in (
            chunk({"role": "assistant"}, usage=None),
            chunk({"content": "one"}, usage=None),
            chunk({"content": " two"}, usage=None),
            chunk({"content": " three"}, usage=None, obfuscation="x"),
            chunk({"content": ""}, reason="stop", usage=USAGE),
            b'{"id":"c","choices":[],"usage":' + json.dumps(USAGE).encode() + b"}",
        )
    ]
    assert given == [
        chunk({"role": "assistant"}),
        chunk({"content": "one"}),
        chunk({"content": " two"}),
        chunk({"content": " three"}, obfuscation="x"),
        chunk({"content": ""}, reason="stop"),
        None,
    ]
    assert watched.usage == Usage(input=9, output=3)


def test_feed_when_model_has_another_name() -> None:
    """Each chunk tells the public name, those in the usual frame too."""
    watched = tap(model="org/model")
    events = [chunk({"content": text}, model="org/model", usage=None) for text in ("a", "b", "c")]
    assert [watched.feed(event) for event in events] == [chunk({"content": text}) for text in ("a", "b", "c")]


@pytest.mark.parametrize("model", ["pub", "org/model"])
@given(
    pieces=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=8),
    spaced=st.booleans(),
    ascii_only=st.booleans(),
    key=st.sampled_from(["content", "reasoning_content", "reasoning"]),
    more=st.sampled_from([{}, {"usage": None}, {"usage": USAGE}, {"error": None}, {"content": "usage"}]),
)
def test_feed_when_any_text(
    model: str, pieces: list[str], *, spaced: bool, ascii_only: bool, key: str, more: dict[str, Any]
) -> None:
    """Whatever the text and the upstream's spelling, the client reads the same chunks less usage, in our name."""
    watched = tap(model=model)
    for piece in pieces:
        data = json.loads(chunk({key: piece}, model=model, **more))
        separators = None if spaced else (",", ":")
        given_out = watched.feed(json.dumps(data, separators=separators, ensure_ascii=ascii_only).encode())
        data.pop("usage", None)
        assert given_out is not None
        assert json.loads(given_out) == {**data, "model": "pub"}
    size = sum(len(piece.encode()) for piece in pieces)
    assert watched.said == Said(sum(map(bool, pieces)), len("".join(pieces)), size)
    assert watched.said.pieces == watched.deltas


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_feed_when_garbage(events: list[bytes]) -> None:
    """What is no JSON passes as it came: it is not ours to mend."""
    watched = tap(model="other", wants_usage=True)
    assert watched.feed(chunk({"content": "x"}, model="other")) == chunk({"content": "x"})
    for event in events:
        given_out = watched.feed(event)
        assert given_out is event or event[:1] == b"{"


def test_feed_when_string_would_end_early() -> None:
    """A chunk that only looks like text in the usual frame is decoded, and its usage and end are seen."""
    watched = tap(wants_usage=True)
    plain = chunk({"content": "x"})
    assert watched.feed(plain) is plain
    usage = json.dumps(USAGE).encode()
    sly = plain.replace(b'"x"', b'"x"},"index":0}],"usage":' + usage + b',"more":[{"delta":{"content":"y"', 1)
    assert watched.feed(sly) is sly
    assert watched.usage == Usage(input=9, output=3)


@pytest.mark.parametrize(
    "event",
    [b'{"error":{"message":"CUDA at 0xdeadbeef"}}', b'{"error":"no"}', b'{"object":"error","message":"no"}'],
)
def test_feed_when_upstream_reports_an_error(event: bytes) -> None:
    """The client gets an error object of ours, none of the upstream's words, and no clean end after it."""
    watched = tap()
    given_out = watched.feed(event)
    assert given_out is not None
    assert json.loads(given_out)["error"]["code"] == "upstream_error"
    assert b"CUDA" not in given_out
    assert watched.failed
    assert watched.feed(b"[DONE]") is None
    assert watched.done


def test_feed_when_several_answers() -> None:
    """A stream of n answers is finished when each has its reason."""
    watched = tap(n=2)
    events = [
        chunk({"content": "x"}, reason="length"),
        chunk(reason="stop").replace(b'"index":0', b'"index":1'),
    ]
    finished = []
    for event in events:
        watched.feed(event)
        finished.append(watched.finished)
    assert finished == [False, True]
    assert watched.reasons == ("length", "stop")


def test_feed_when_finish_reason_is_empty() -> None:
    """An empty finish reason, which some servers send with each chunk, is none."""
    watched = tap()
    watched.feed(chunk({"content": "x"}, reason=""))
    assert not watched.finished


def test_feed_when_lines_are_folded() -> None:
    """A rewritten event fits on one line, however the upstream wrapped it."""
    watched = tap(model="other")
    given_out = watched.feed(
        json.dumps(json.loads(chunk({"content": "x"}, model="other")), indent=1).encode()
    )
    assert given_out is not None
    assert b"\n" not in given_out
    assert json.loads(given_out) == json.loads(chunk({"content": "x"}))


def test_feed_when_legacy_completion() -> None:
    """Chunks of the legacy surface carry their text beside the choice."""
    watched = tap(wants_usage=True)
    event = b'{"id":"c","object":"text_completion","model":"pub","choices":[{"index":0,"text":"x","finish_reason":null}]}'
    for _ in range(3):
        assert watched.feed(event) is event
    assert watched.deltas == 3


def test_feed_when_usage_lives_elsewhere() -> None:
    """A target's own place of the counts is read by its path, and left where it is."""
    watched = ChatTap(call(), model="pub", public="pub", usage=("x_groq", "usage"))
    event = chunk({"content": "x"}, x_groq={"usage": USAGE})
    assert watched.feed(event) is event
    assert watched.usage == Usage(input=9, output=3)


@pytest.mark.parametrize(
    "event",
    [b"[]", b"1", b'{"choices":5}', b'{"choices":[5,{"delta":5,"index":"x","finish_reason":"stop"}]}'],
)
def test_feed_when_shape_is_odd(event: bytes) -> None:
    """JSON of an unknown shape passes too."""
    assert tap().feed(event) is event


def test_texts_when_stripped() -> None:
    """The text of a stream is the same before and after the tap."""
    watched = tap(model="other")
    events = [chunk({"content": text}, model="other", usage=None) for text in ("a", 'b"', "c\\", "d")]
    assert texts([watched.feed(event) for event in events]) == texts(list(events)) == 'ab"c\\d'


def test_said_when_the_upstream_counts_in_between() -> None:
    """What came since the last count is told apart, whatever frame it came in."""
    watched = tap()
    for text in ("one", " two", " dr\u00e9i", "\n"):
        watched.feed(chunk({"content": text}))
    assert watched.said == watched.uncounted == Said(4, 13, 14)
    watched.feed(chunk({"content": " four"}, usage=USAGE))
    assert watched.uncounted == Said()
    watched.feed(chunk({"content": " five"}))
    watched.feed(chunk({"content": " six"}, logprobs={"content": []}))
    watched.feed(chunk({"content": ""}))
    assert (watched.said, watched.uncounted) == (Said(7, 27, 28), Said(2, 9, 9))


def test_said_when_an_event_brings_several_answers() -> None:
    """Each choice that says something is a piece; one that does not is none."""
    watched = tap(n=3)
    deltas: list[dict[str, Any]] = [{"content": "one"}, {"content": "two"}, {"content": ""}]
    choices = [{"index": index, "delta": delta} for index, delta in enumerate(deltas)]
    for _ in range(2):
        watched.feed(json.dumps({"choices": choices}).encode())
    assert watched.said == Said(4, 12, 12)
