"""Passing a stream on: whatever the portions, the client gets the upstream's bytes, as the tap left them."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.dialects.chat import CHAT
from ingot.dialects.cuts import TextCheck
from ingot.dialects.dialect import StreamTap
from ingot.services.relay import NoText, pass_on
from ingot.sse import SseSplitter

WORDS = ["one", " two", " \u2028three", ' "four"', " five\\"]
DONE = b"data: [DONE]\n\n"


def _chunk(**fields: object) -> bytes:
    return (
        b"data: " + json.dumps({"object": "chat.completion.chunk", "model": "m", **fields}).encode() + b"\n\n"
    )


def _delta(text: str, finish: str | None = None) -> bytes:
    delta = {"content": text} if text else {}
    return _chunk(choices=[{"index": 0, "delta": delta, "finish_reason": finish}])


STREAM = b": hello\n\n" + b"".join(map(_delta, WORDS)) + _delta("", "stop")
USAGE = _chunk(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8})


def _tap(*, wants_usage: bool = False, public: str = "m") -> StreamTap:
    options = {"stream_options": {"include_usage": True}} if wants_usage else {}
    body = {"model": public, "stream": True, "messages": [{"role": "user", "content": "x"}], **options}
    return CHAT.tap(CHAT.decode(json.dumps(body).encode()), model="m", public=public)


def _relay(stream: bytes, cuts: list[int], tap: StreamTap) -> bytes:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    splitter, text = SseSplitter(), TextCheck()
    return b"".join(pass_on(splitter, tap, stream[a:b], text=text) for a, b in itertools.pairwise(edges))


CUTS = st.lists(st.integers(0, 10_000), max_size=30)


@given(CUTS)
def test_bytes_are_the_same_when_nothing_must_change(cuts: list[int]) -> None:
    """With usage asked for, the stream is the upstream's own."""
    tap = _tap(wants_usage=True)
    assert _relay(STREAM + USAGE + DONE, cuts, tap) == STREAM + USAGE + DONE
    assert (tap.done, tap.finished, tap.deltas) == (True, True, len(WORDS))
    assert tap.usage is not None
    assert (tap.usage.input, tap.usage.output) == (3, 5)


@given(CUTS)
def test_usage_is_taken_out_when_the_client_did_not_ask(cuts: list[int]) -> None:
    """The rest is the upstream's own, and the figures are known."""
    tap = _tap()
    assert _relay(STREAM + USAGE + DONE, cuts, tap) == STREAM + DONE
    assert tap.usage is not None
    assert tap.usage.output == 5


@given(CUTS)
def test_only_the_name_changes_when_the_model_is_renamed(cuts: list[int]) -> None:
    """In every chunk."""
    found = _relay(STREAM + DONE, cuts, _tap(public="org/public"))
    events = [json.loads(event[6:]) for event in found.split(b"\n\n") if event.startswith(b"data: {")]
    originals = [json.loads(event[6:]) for event in STREAM.split(b"\n\n") if event.startswith(b"data: {")]
    assert events == [{**original, "model": "org/public"} for original in originals]
    assert found.endswith(DONE)


@pytest.mark.parametrize(
    "broken",
    [
        b"data: {\n\n",
        b"data: []\n\n",
        b"data:\n\n",
        b"event: ping\ndata: 1\n\n",
        b"id: 3\n\n",
    ],
)
def test_event_is_passed_on_when_it_makes_no_sense(broken: bytes) -> None:
    """The client sees what the upstream wrote; what it means is not ours to mend."""
    tap = _tap()
    assert _relay(broken + STREAM, [], tap) == broken + STREAM
    assert tap.finished


@pytest.mark.parametrize("before", [b"", _delta("one") + _delta(" \u2028two")])
@pytest.mark.parametrize(
    "broken",
    [
        b"data: \xff\xfe\n\n",
        b": \xe9\n\n",
        b"event: x\ndata: {}\nid: \x80\n\n",
        _delta("a?b").replace(b"?", b"\xe2\x82"),
        _delta("?b").replace(b"?", b"\x82\xac"),
        _delta("a?").replace(b"?", b"\xc0"),
    ],
)
def test_stream_is_given_up_when_an_event_is_no_text(before: bytes, broken: bytes) -> None:
    """What came before it in its piece is the client's, and is all that was counted."""
    tap = _tap()
    with pytest.raises(NoText) as caught:
        _relay(before + broken + STREAM, [], tap)
    assert caught.value.given == before
    assert (tap.deltas, tap.given) == (2 if before else 0, before)


def test_stream_is_passed_on_when_a_character_is_cut_into_three_events() -> None:
    """Each in a piece of its own, another answer's between them; one that is cut by the end of its answer is no fault."""
    whole = _delta("\U0001f600?")
    frame = whole.split(json.dumps("\U0001f600?")[1:-1].encode())
    cut = [frame[0] + part + frame[1] for part in (b"a\xf0", b"\x9f\x98", b"\x80b\xe2\x82")]
    other = [frame[0] + part + frame[1] for part in (b"\xc3", b"\xa4")]
    events = [cut[0], other[0], cut[1], other[1], cut[2]]
    tap, splitter, text = _tap(wants_usage=True), SseSplitter(), TextCheck()
    given = [pass_on(splitter, tap, event, text=text) for event in [*events, DONE]]
    assert (given, tap.done) == ([*events, DONE], True)


def test_nothing_is_looked_at_when_the_stream_has_ended() -> None:
    """What a server says behind its end is no part of an answer."""
    tap = _tap(wants_usage=True)
    assert _relay(STREAM + DONE + b": \xff\n\n", [], tap).startswith(STREAM + DONE)


def test_text_is_ours_when_the_upstream_reports_an_error() -> None:
    """Its words are not for strangers, and what it says afterwards is no clean end."""
    tap = _tap()
    found = _relay(STREAM[:60] + b"\n\ndata: " + b'{"error":{"message":"at 10.1.2.3"}}\n\n' + DONE, [], tap)
    assert tap.failed
    assert b"10.1.2.3" not in found
    assert b"[DONE]" not in found
    assert b'"error"' in found


@pytest.mark.parametrize("cuts", [[], [1], [3], [10]])
def test_name_changes_when_a_byte_order_mark_stands_in_front(cuts: list[int]) -> None:
    """In the first chunk as in all others; the mark is left out."""
    stream = STREAM.removeprefix(b": hello\n\n") + DONE
    marked = b"\xef\xbb\xbf" + stream
    assert _relay(marked, cuts, _tap(public="org/public")) == _relay(stream, [], _tap(public="org/public"))
