"""Translations as their services hold them: what is refused, what the header says, and what a tap tells of a stream."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments import deployment
from ingot import canonical
from ingot.canonical import Loss
from ingot.canonical.losses import KINDS
from ingot.catalog import TRANSLATED, Quirks, Route, Target
from ingot.dialects.chat import CHAT
from ingot.dialects.codecs import CODECS, wire_of
from ingot.dialects.dialect import Dialect, Usage
from ingot.dialects.messages import MESSAGES
from ingot.services.apart import LARGE
from ingot.services.door import Inference
from ingot.services.grants import Grant
from ingot.services.keys import Principal
from ingot.services.losses import HEADER_BYTES, Lossy, header_line, joined
from ingot.services.translation import TranslatedTap, Translation, counts_of, translate

SPEAKING = {
    "messages": Target("far", "http://127.0.0.1:9/v1", dialects=frozenset({"messages"})),
    "chat": Target("far", "http://127.0.0.1:9/v1", dialects=frozenset({"chat"})),
}


def _inference(dialect: Dialect, *, refuse: bool = False, **fields: object) -> Inference:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **fields}
    model = deployment(on_loss="refuse" if refuse else "warn")
    principal = Principal("key_1", "kid", "name", "org_1", "inference", Grant())
    call = dialect.decode(json.dumps(body).encode())
    return Inference("r", "/", dialect, call, model, principal, response_id="resp_77", created_at=5_000_000)


async def test_translate_when_a_level_of_detail_is_lost() -> None:
    """The loss is named where its client wrote it: in the object that holds the image."""
    image = {"type": "image_url", "image_url": {"url": "https://a.org/b.png", "detail": "high"}}
    wanted = _inference(CHAT, messages=[{"role": "user", "content": [image]}])
    found = await _translated(wanted, Route(SPEAKING["messages"], "theirs"))
    assert [loss.path for loss in found.losses] == ["messages[0].content[0].image_url.detail"]


async def _translated(wanted: Inference, route: Route) -> Translation:
    return translate(wanted, wanted.call, route)


async def _tap(dialect: Dialect, to: str) -> TranslatedTap:
    wanted = _inference(dialect, stream=True)
    return (await _translated(wanted, Route(SPEAKING[to], "theirs"))).tap(wanted)


def test_catalog_knows_what_is_translated_when_codecs_are_added() -> None:
    """It cannot ask the codecs, as they are made of its records."""
    assert CODECS.keys() == TRANSLATED


@pytest.mark.parametrize(
    ("dialects", "headers", "path", "version"),
    [
        ({"chat"}, (), "/chat/completions", None),
        ({"chat", "messages"}, (), "/chat/completions", None),
        ({"messages"}, (), "/messages", "2023-06-01"),
        ({"messages"}, (("Anthropic-Version", "2026-10-21"),), "/messages", "2026-10-21"),
        ({"messages"}, (("anthropic-version", "odd"),), "/messages", "2023-06-01"),
    ],
)
def test_target_is_spoken_to_when_it_has_a_codec(
    dialects: set[str], headers: tuple[tuple[str, str], ...], path: str, version: str | None
) -> None:
    """Where its dialect lives, in the version that its own headers name."""
    wire = wire_of(Target("t", "http://127.0.0.1:9", dialects=frozenset(dialects), headers=headers))
    assert wire is not None
    assert wire.dialect.path == path
    assert dict(wire.headers).get("anthropic-version") == version
    assert wire_of(Target("t", "http://127.0.0.1:9", dialects=frozenset({"embeddings"}))) is None


@pytest.mark.parametrize("size", [1, LARGE])
async def test_request_is_translated_when_it_is_large_or_small(size: int) -> None:
    """The same on the event loop and beside it; ids and names of the answer are ours."""
    text = "x" * size
    made = await _translated(
        _inference(CHAT, messages=[{"role": "user", "content": text}], seed=1),
        Route(SPEAKING["messages"], "theirs"),
    )
    sent = json.loads(made.body)
    assert (sent["model"], sent["max_tokens"]) == ("theirs", 9)
    assert text in json.dumps(sent["messages"])
    assert [loss.path for loss in made.losses] == ["seed"]
    assert (made.reply.id, made.reply.model, made.reply.created) == ("chatcmpl-77", "m", 5)
    assert made.destination.origin == canonical.Origin("messages", "far")


async def test_request_is_refused_when_the_deployment_takes_no_losses() -> None:
    """The first place is named, and how many there are."""
    with pytest.raises(Lossy) as caught:
        await _translated(
            _inference(CHAT, refuse=True, seed=1, frequency_penalty=1), Route(SPEAKING["messages"], "t")
        )
    assert caught.value.param == "frequency_penalty"
    assert "and 1 more" in caught.value.message
    made = await _translated(_inference(CHAT, refuse=True), Route(SPEAKING["messages"], "t"))
    assert not made.losses


async def test_header_of_a_client_is_a_loss_when_the_target_cannot_know_it() -> None:
    """The version is obeyed here, a beta cannot be."""
    assert MESSAGES.take_headers is not None
    wanted = _inference(MESSAGES)
    headers = {b"anthropic-version": b"2023-06-01", b"anthropic-beta": b"new-thing"}
    wanted = Inference(
        wanted.id,
        wanted.surface,
        MESSAGES,
        MESSAGES.take_headers(wanted.call, headers),
        wanted.deployment,
        wanted.principal,
        response_id=wanted.response_id,
        created_at=0,
    )
    made = await _translated(wanted, Route(SPEAKING["chat"], "t"))
    assert [loss.path for loss in made.losses] == ["anthropic-beta"]


async def test_counts_are_found_when_the_target_tells_them_elsewhere() -> None:
    """At the place that its quirk names, whole and streamed."""
    odd = Target(
        "odd", "http://127.0.0.1:9/v1", dialects=frozenset({"chat"}), quirks=Quirks(usage=("x", "counts"))
    )
    counts = {"x": {"counts": {"prompt_tokens": 7, "completion_tokens": 2}}}
    whole = {"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}], **counts}
    made = await _translated(_inference(MESSAGES), Route(odd, "t"))
    told, usage = await made.answer(json.dumps(whole).encode())
    assert usage == Usage(input=7, output=2)
    assert json.loads(told)["usage"]["input_tokens"] == 7
    wanted = _inference(MESSAGES, stream=True)
    tap = (await _translated(wanted, Route(odd, "t"))).tap(wanted)
    tap.feed(b'{"id":"1","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}')
    tap.feed(json.dumps({"id": "1", "choices": [], **counts}).encode())
    assert b'"output_tokens":2' in (tap.feed(b"[DONE]") or b"")
    assert tap.usage == Usage(input=7, output=2)


UNBELIEVABLE = {"input_tokens": -3, "output_tokens": 2}


async def test_chat_answer_has_an_estimate_when_the_counts_cannot_be_believed() -> None:
    """As answers of other dialects have: what was estimated is what is billed."""
    made = await _translated(_inference(CHAT), Route(SPEAKING["messages"], "t"))
    message = {"content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn", "usage": UNBELIEVABLE}
    body, usage = await made.answer(json.dumps(message).encode())
    assert usage is None
    told = json.loads(made.counted(body, Usage(input=4, output=1, estimated=True)))
    assert told["usage"] == {"prompt_tokens": 4, "completion_tokens": 1, "total_tokens": 5}
    assert told["choices"] == json.loads(body)["choices"]


@pytest.mark.parametrize("asked", [True, False])
async def test_chat_stream_has_an_estimate_when_usage_was_asked_for(*, asked: bool) -> None:
    """And none where it was not."""
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if asked else {}
    wanted = _inference(CHAT, stream=True, **options)
    tap = (await _translated(wanted, Route(SPEAKING["messages"], "t"))).tap(wanted)
    tap.estimate = lambda _: Usage(input=4, output=1, estimated=True)
    given = b""
    for event in (
        {"type": "message_start", "message": {"id": "msg_1", "usage": UNBELIEVABLE}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ):
        given += tap.feed(json.dumps(event).encode()) or b""
    assert (b'"usage":{"prompt_tokens":4,"completion_tokens":1,"total_tokens":5}' in given) is asked
    assert (tap.done, tap.usage) == (True, None)


# ---- the header


def test_header_is_left_out_when_nothing_was_lost() -> None:
    """Nothing is said of nothing."""
    assert header_line(()) == b""


@given(
    st.lists(
        st.builds(Loss, st.text(max_size=300), st.sampled_from(list(KINDS)), st.text(max_size=300)),
        min_size=1,
        max_size=40,
    )
)
def test_header_is_one_short_line_when_losses_are_anything(losses: list[Loss]) -> None:
    """Whatever clients call their fields, no byte of it ends the line or a loss, and what has no room is counted."""
    told = joined(tuple(losses))
    line = header_line(told)
    name, _, value = line.removesuffix(b"\r\n").partition(b": ")
    assert name == b"x-ingot-loss"
    assert len(value) <= HEADER_BYTES + 20
    assert all(32 <= byte < 127 for byte in value)
    parts = value.decode().split("; ")
    hidden = int(parts.pop()[1:-5]) if parts[-1].startswith("+") and parts[-1].endswith(" more") else 0
    assert len(parts) + hidden == len(told)


# ---- streams


async def test_stream_is_counted_and_kept_when_it_is_translated() -> None:
    """The client's own tap watches what it gets."""
    tap = await _tap(CHAT, "messages")
    given = b"".join(
        tap.feed(json.dumps(event).encode()) or b""
        for event in [
            {
                "type": "message_start",
                "message": {"id": "msg_1", "usage": {"input_tokens": 3, "output_tokens": 1}},
            },
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "one"}},
        ]
    )
    assert b'"content":"one"' in given
    assert (tap.usage, tap.deltas, tap.said.characters) == (Usage(input=3), 1, 3)
    assert tap.uncounted == tap.said
    assert not tap.finished
    assert tap.close() == b""
    assert not tap.done
    tap.feed(b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":8}}')
    assert (tap.usage, tap.uncounted.size, tap.finished) == (Usage(input=3, output=8), 0, True)
    assert (tap.feed(b'{"type":"message_stop"}') or b"").endswith(b"data: [DONE]\n\n")
    assert (tap.done, tap.failed, tap.id) == (True, False, "chatcmpl-77")
    assert b'"content":"one"' in tap.given
    assert tap.feed(b'{"type":"ping"}') is None


@pytest.mark.parametrize(
    "fault", [b'{"type":"error","error":{"type":"api_error","message":"at 10.1.2.3"}}', b"{", b"[]"]
)
@pytest.mark.parametrize(("dialect", "mark"), [(CHAT, b'data: {"error"'), (MESSAGES, b"event: error\n")])
async def test_stream_ends_in_an_error_of_ours_when_the_target_fails(
    dialect: Dialect, mark: bytes, fault: bytes
) -> None:
    """In the client's dialect; the target's words are not for strangers, and nothing follows."""
    tap = await _tap(dialect, "chat" if dialect is MESSAGES else "messages")
    given = tap.feed(fault) or b""
    assert mark in given
    assert b"10.1.2.3" not in given
    assert (tap.done, tap.failed) == (True, True)
    assert tap.feed(b"[DONE]") is None
    assert mark in tap.given


def test_parts_are_no_more_than_their_whole_when_counted() -> None:
    """Targets may say what they like."""
    told = canonical.Usage(input=5, output=2, cached_input=4, cache_write=9, reasoning=7)
    assert counts_of(told) == Usage(input=5, output=2, cached_input=4, cache_write=1, reasoning=2)
