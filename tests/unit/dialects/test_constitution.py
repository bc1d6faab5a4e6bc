"""Principles before a request, and refusals that clients can tell from answers."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.catalog import REFUSAL_MARK, Quirks
from ingot.dialects.chat import CHAT
from ingot.dialects.constitution import RefusalTap
from ingot.dialects.dialect import AS_IT_IS, Call, Turn
from ingot.dialects.opaque import COMPLETIONS, EMBEDDINGS
from ingot.dialects.turning import CALLED
from ingot.errors import Unsupported

REFUSES = Turn("refusal", REFUSAL_MARK)
TEXT = 'Be "honest".\nAlways.'
WRITTEN = b'{"role":"system","content":"Be \\"honest\\".\\nAlways."},'


@pytest.mark.parametrize(
    "data",
    [
        b'{"model":"m","messages":[{"role":"user","content":"x"}]}',
        b' { "messages" : [ {"role":"system","content":"Mine."},{"role":"user","content":"x"} ] , "model":"m", "x":1.00 }',
        b'{"model":"m","messages":[{"role":"user","content":"\\u0041"}],"y":["messages"]}' + b" " * 9000,
    ],
)
def test_preface_when_request_is_written_in_any_way(data: bytes) -> None:
    """The principles stand first, before a system message of the client's own, and every other byte stays."""
    call = CHAT.decode(data)
    sent = CHAT.preface(call, TEXT)
    start = data.index(b"[") + 1
    assert sent.body.data == data[:start] + WRITTEN + data[start:]
    assert sent.body.value == json.loads(sent.body.data)
    assert call.body.data is data
    assert CHAT.prepare(sent, model="m", quirks=Quirks()) is sent.body.data


def test_preface_when_surface_is_another() -> None:
    """Completions have no place for principles, so that they are refused; embeddings answer nothing."""
    with pytest.raises(
        Unsupported, match=r"Use /v1/chat/completions, /v1/responses or /v1/messages"
    ) as caught:
        COMPLETIONS.preface(COMPLETIONS.decode(b'{"model":"m","prompt":"x"}'), TEXT)
    assert (caught.value.param, caught.value.code) == ("model", "unsupported_endpoint")
    call = EMBEDDINGS.decode(b'{"model":"m","input":"x"}')
    assert EMBEDDINGS.preface(call, TEXT) is call


def whole(*contents: str | None) -> bytes:
    choices = [
        {"index": index, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        for index, content in enumerate(contents)
    ]
    return json.dumps({"id": "c", "choices": choices}, indent=1).encode()


def test_turn_back_when_answer_refuses() -> None:
    """The mark goes, what follows is the refusal; another choice keeps its content."""
    turned = json.loads(
        CHAT.turn_back(whole(f"\n{REFUSAL_MARK} Not that.", f"I say {REFUSAL_MARK}", None), REFUSES)
    )
    messages = [choice["message"] for choice in turned["choices"]]
    assert messages == [
        {"role": "assistant", "content": None, "refusal": "Not that."},
        {"role": "assistant", "content": f"I say {REFUSAL_MARK}"},
        {"role": "assistant", "content": None},
    ]


def weighed(*texts: str) -> dict[str, Any]:
    """Log probabilities of a text, a token for each."""
    return {"content": [{"token": text, "logprob": -1} for text in texts], "refusal": None}


PIECES = (REFUSAL_MARK[:5], f"{REFUSAL_MARK[5:]}", " Not", " that.")


def test_turn_back_when_answer_has_logprobs() -> None:
    """Those of a refusal go with it, without the mark."""
    answer = json.loads(whole("".join(PIECES), "Yes."))
    answer["choices"][0]["logprobs"] = weighed(*PIECES)
    answer["choices"][1]["logprobs"] = weighed("Yes", ".")
    turned = json.loads(CHAT.turn_back(json.dumps(answer).encode(), REFUSES))
    refused = {"content": None, "refusal": weighed(" Not", " that.")["content"]}
    assert [choice["logprobs"] for choice in turned["choices"]] == [refused, weighed("Yes", ".")]


@pytest.mark.parametrize("answer", [whole("Yes."), whole(f"I say {REFUSAL_MARK}"), whole("[refus")])
def test_turn_back_when_nothing_is_refused(answer: bytes) -> None:
    """The very bytes come back."""
    assert CHAT.turn_back(answer, REFUSES) is answer
    assert CHAT.turn_back(answer, AS_IT_IS) is answer


def asked(n: int = 1) -> Call:
    return CHAT.decode(
        json.dumps(
            {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True, "n": n}
        ).encode()
    )


def chunk(delta: dict[str, Any], reason: str | None = None, index: int = 0, **more: Any) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": reason, **more}
    return json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode()


def streamed(text: str, cuts: list[int]) -> list[bytes]:
    ends = sorted({min(cut, len(text)) for cut in cuts} | {len(text)})
    pieces = [text[low:high] for low, high in zip([0, *ends], ends, strict=False)]
    return [
        chunk({"role": "assistant", "content": ""}),
        *(chunk({"content": piece}) for piece in pieces),
        chunk({}, "stop"),
        b"[DONE]",
    ]


def told(events: list[bytes], field: str) -> str:
    deltas = [
        choice["delta"] for data in events if data != b"[DONE]" for choice in json.loads(data)["choices"]
    ]
    return "".join(delta.get(field) or "" for delta in deltas)


@pytest.mark.parametrize(
    ("pieces", "kind", "words"),
    [(PIECES, "refusal", [" Not", " that."]), (("[", "ref", ". 3]"), "content", ["[", "ref", ". 3]"])],
)
def test_feed_when_stream_has_logprobs(pieces: tuple[str, ...], kind: str, words: list[str]) -> None:
    """A token for each word that is told, on its side, in its order, and none for the mark."""
    tap = CHAT.tap(asked(), model="m", public="m", turn=REFUSES)
    events = [chunk({"content": piece}, logprobs=weighed(piece)) for piece in pieces]
    given_ = [data for data in map(tap.feed, [*events, chunk({}, "stop")]) if data is not None]
    choices = [choice for data in given_ for choice in json.loads(data)["choices"]]
    sides = [choice["logprobs"] for choice in choices if choice.get("logprobs")]
    assert [token["token"] for side in sides for token in side[kind] or ()] == words
    assert not any(side["content" if kind == "refusal" else "refusal"] for side in sides)


CUTS = st.lists(st.integers(1, 40), max_size=8)


@given(st.sampled_from(["", " ", "\n"]), st.sampled_from(["", " ", "\n"]), CUTS)
def test_feed_when_stream_refuses(before: str, between: str, cuts: list[int]) -> None:
    """However the text is cut, the mark never shows, and what follows is the refusal."""
    tap = CHAT.tap(asked(), model="m", public="m", turn=REFUSES)
    assert isinstance(tap, RefusalTap)
    events = streamed(f"{before}{REFUSAL_MARK}{between}No, since [x].", cuts)
    given_ = [data for data in map(tap.feed, events) if data is not None]
    assert told(given_, "refusal") == "No, since [x]."
    assert told(given_, "content") == ""
    assert b"[refusal]" not in b"".join(given_)
    assert (tap.done, tap.finished) == (True, True)


@given(st.sampled_from(["Yes.", "[ref. 3] says", "[", " [refusal", "", f"Not {REFUSAL_MARK}"]), CUTS)
def test_feed_when_stream_answers(text: str, cuts: list[int]) -> None:
    """An answer comes whole, also one that begins like the mark; once it is clear, its events pass as they came."""
    tap = CHAT.tap(asked(), model="m", public="m", turn=REFUSES)
    events = streamed(text, cuts)
    given_ = [data for data in map(tap.feed, events) if data is not None]
    assert told(given_, "content") == text
    assert told(given_, "refusal") == ""
    assert given_[-1] == b"[DONE]"
    late = chunk({"content": "late"})
    assert tap.feed(late) is late


def test_feed_when_one_of_two_answers_refuses() -> None:
    """Each answer is told for itself."""
    tap = CHAT.tap(asked(2), model="m", public="m", turn=REFUSES)
    events = [
        chunk({"content": "[ref"}, index=0),
        chunk({"content": "Yes"}, index=1),
        chunk({"content": "usal] No"}, index=0),
        chunk({"content": ", indeed"}, index=1),
        chunk({"content": " way"}, index=0),
    ]
    given_ = [json.loads(data) for data in map(tap.feed, events) if data is not None]
    deltas = [(c["index"], c["delta"]) for data in given_ for c in data["choices"]]
    assert deltas == [
        (1, {"content": "Yes"}),
        (0, {"refusal": "No"}),
        (1, {"content": ", indeed"}),
        (0, {"refusal": " way"}),
    ]


SHAPES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, True, 0, "x", "[refusal] no", '{"name": "f", "arguments": {}}']),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "delta", "content", "index", "finish_reason", "usage", "id"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(
    st.dictionaries(st.sampled_from(["choices", "id", "usage"]), SHAPES), st.sampled_from([CALLED, REFUSES])
)
def test_turning_when_answer_has_any_shape(answer: dict[str, Any], turn: Any) -> None:
    """An answer that is shaped like none passes, whole and as an event of a stream."""
    data = json.dumps(answer).encode()
    assert isinstance(json.loads(CHAT.turn_back(data, turn)), dict)
    tap = CHAT.tap(asked(), model="m", public="m", turn=turn)
    for _ in range(2):
        tap.feed(data)
