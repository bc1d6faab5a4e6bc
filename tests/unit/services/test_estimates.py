"""What is billed where a target did not say what it used: near the truth for any way of streaming, and never by surprise."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot import rawjson
from ingot.dialects.dialect import Call, StreamTap, Usage
from ingot.dialects.tap import ChatTap
from ingot.services.estimates import MEDIA_TOKENS, Estimates

PLACE = ("mock", "up")
ENGLISH = (
    " The", " river", " ran", " past", " the", " old", " mill", ",", " and", " nobody", " knew", " where", " it",
    " went", ".", " In", " winter", " it", " froze", "; ", "then", " child", "ren", " walked", " across", " to", " school", ".",
)  # fmt: skip
"""Tokens as a tokenizer makes them: 4.3 characters on average."""
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


def call(body: bytes = b'{"model":"mock"}', **more: Any) -> Call:
    """A streamed call."""
    return Call(model="mock", body=rawjson.parse(body), stream=True, **more)


def chunk(text: str | None, *, reason: str | None = None, index: int = 0, **more: Any) -> bytes:
    """A chunk with this text."""
    delta = {} if text is None else {"content": text}
    choice = {"index": index, "delta": delta, "finish_reason": reason}
    return json.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [choice], **more}).encode()


def sent(
    pieces: list[str], *, end: bool = False, tokens: int | None = None, asked: Call | None = None
) -> StreamTap:
    """A stream that brought these pieces, and perhaps its end with the usage."""
    tap = ChatTap(asked or call(), model="mock", public="mock")
    for piece in pieces:
        tap.feed(chunk(piece))
    if end:
        tap.feed(chunk(None, reason="stop"))
        if tokens is not None:
            usage = {"prompt_tokens": 9, "completion_tokens": tokens}
            tap.feed(json.dumps({"choices": [], "usage": usage}).encode())
        tap.feed(b"[DONE]")
    return tap


def prose(count: int, batch: int) -> list[str]:
    """So many tokens of English, `batch` a piece."""
    row = (list(ENGLISH) * (count // len(ENGLISH) + 1))[:count]
    return ["".join(row[at : at + batch]) for at in range(0, count, batch)]


# ---- without anything known


@pytest.mark.parametrize("count", [1, 2, 3, 7, 50, 1000])
def test_l12_pieces_are_counted_when_each_brings_a_token(count: int) -> None:
    """Exactly as many as came."""
    usage = Estimates().stream(call(), sent(prose(count, 1)), place=PLACE)
    assert (usage.output, usage.estimated) == (count, True)


@pytest.mark.parametrize("word", [" understanding", "Straßenbahn", " Ελλάδα", "日本", "😀"])
def test_l12_long_word_is_one_token_when_it_is_all_that_came(word: str) -> None:
    """In a stream of a piece or two, a word is the average; and characters count, not how many bytes they have."""
    assert Estimates().stream(call(), sent([word]), place=PLACE).output == 1
    assert Estimates().stream(call(), sent([word, " a", " b"]), place=PLACE).output == 3


@pytest.mark.parametrize("batch", [3, 4, 8, 32, 500])
def test_l12_text_is_counted_when_a_piece_brings_several_tokens(batch: int) -> None:
    """Four bytes a token: within an eighth for English."""
    usage = Estimates().stream(call(), sent(prose(500, batch)), place=PLACE)
    assert usage.output == pytest.approx(500, rel=0.125)
    assert usage.estimated


def test_spelling_does_not_count_when_an_upstream_escapes_its_text() -> None:
    """A line end is one character, whatever it takes to write it."""
    pieces = ["\n\n\n\t\t\t", "\u2028\u2028\u2028\u2028"] * 10
    assert Estimates().stream(call(), sent(pieces), place=PLACE).output == 20


def test_every_choice_counts_when_an_event_brings_several() -> None:
    """An upstream that answers twice at once sends two tokens an event."""
    tap = ChatTap(call(n=2), model="mock", public="mock")
    choices = [{"index": index, "delta": {"content": " a"}, "finish_reason": None} for index in (0, 1)]
    for _ in range(5):
        tap.feed(json.dumps({"choices": choices}).encode())
    assert Estimates().stream(call(n=2), tap, place=PLACE).output == 10


def test_nothing_is_counted_when_nothing_was_said() -> None:
    """A role, and texts without a character, are no output."""
    tap = sent([])
    tap.feed(b'{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}')
    tap.feed(chunk("x"))
    tap.feed(chunk(""))
    tap.feed(chunk(""))
    assert Estimates().stream(call(), tap, place=PLACE).output == 1


@given(st.lists(st.text(min_size=1)), st.integers(1, 50), st.integers(1, 3))
def test_estimate_stays_within_bounds_whatever_came(texts: list[str], limit: int, n: int) -> None:
    """Never fewer than the pieces, never more than the client allowed beyond them."""
    asked = call(max_tokens=limit, n=n)
    tap = sent([text.encode("utf-8", "replace").decode() for text in texts], asked=asked)
    output = Estimates().stream(asked, tap, place=PLACE).output
    assert tap.deltas == len(texts)
    assert len(texts) <= output <= max(len(texts), limit * n)


# ---- with what was told before


@pytest.mark.parametrize("batch", [2, 5, 40])
def test_estimate_is_close_when_the_target_told_its_usage_before(batch: int) -> None:
    """A language of its own: 1.6 characters a token, and batches of any size; then within 2 %."""
    estimates = Estimates()
    tokens = ["語", "です", "言葉", "が"]
    whole = ["".join((tokens * 100)[at : at + 5]) for at in range(0, 400, 5)]
    assert not estimates.stream(call(), sent(whole, end=True, tokens=400), place=PLACE).estimated
    broken = ["".join((tokens * 100)[at : at + batch]) for at in range(0, 200, batch)]
    assert estimates.stream(call(), sent(broken), place=PLACE).output == pytest.approx(200, rel=0.02)
    # Another target of the same model is another tokenizer, for all that is known.
    assert estimates.stream(call(), sent(broken), place=("mock", "other")).output != pytest.approx(
        200, rel=0.02
    )


def test_pieces_are_counted_when_the_target_is_known_to_send_a_token_each() -> None:
    """The end of an answer is counted and brings no text; that makes no batches of it."""
    estimates = Estimates()
    for count in (20, 300, 40):
        estimates.stream(call(), sent(prose(count, 1), end=True, tokens=count + 1), place=PLACE)
    assert estimates.stream(call(), sent(prose(150, 1)), place=PLACE).output == 150
    # Under load the same target may send several at once: the text tells.
    assert estimates.stream(call(), sent(prose(150, 6)), place=PLACE).output == pytest.approx(150, rel=0.05)


def test_nothing_is_learned_when_an_answer_says_nothing_of_its_tokens() -> None:
    """Hidden thoughts, drafts and answers of a few words teach nothing."""
    estimates = Estimates()
    thought = ChatTap(call(), model="mock", public="mock")
    for piece in prose(20, 1):
        thought.feed(chunk(piece))
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 900,
        "completion_tokens_details": {"reasoning_tokens": 880},
    }
    thought.feed(chunk(None, reason="stop", usage=usage))
    thought.feed(b"[DONE]")
    estimates.stream(call(), thought, place=PLACE)
    estimates.stream(call(drafts=5), sent(prose(20, 1), end=True, tokens=100), place=PLACE)
    estimates.stream(call(), sent(["x"], end=True, tokens=15), place=PLACE)
    assert estimates.stream(call(), sent(prose(20, 1)), place=PLACE).output == 20


@pytest.mark.parametrize("bound", [None, 30])
def test_nothing_is_learned_when_a_count_cannot_be(bound: int | None) -> None:
    """More tokens than bytes, or than the client allowed, are billed as told and make nobody else's answers dearer."""
    estimates = Estimates()
    tokens = 1_000_000_000 if bound is None else bound + 1
    absurd = estimates.stream(
        call(max_tokens=bound), sent(prose(60, 1), end=True, tokens=tokens), place=PLACE
    )
    assert absurd.output == tokens
    answer = b'{"choices":[{"message":{"content":"%b"}}]}' % (b"word " * 80)
    assert estimates.answer(call(), None, answer, place=PLACE) == Estimates().answer(
        call(), None, answer, place=PLACE
    )


# ---- beside what was told


def test_told_usage_is_the_truth_when_no_text_followed_it() -> None:
    """Also in the middle, also when the upstream then breaks off."""
    tap = sent(["one", " two"])
    tap.feed(chunk(" three four five", usage=USAGE))
    assert Estimates().stream(call(), tap, place=PLACE) == Usage(input=9, output=3)
    tap.feed(chunk("", usage=None))
    assert Estimates().stream(call(), tap, place=PLACE) == Usage(input=9, output=3)


def test_text_is_added_when_it_followed_the_count_and_the_end_never_came() -> None:
    """The count holds for what it counted."""
    tap = sent(["one"])
    usage = {**USAGE, "prompt_tokens_details": {"cached_tokens": 5}}
    tap.feed(chunk(" two", usage=usage))
    for piece in (" three", " four"):
        tap.feed(chunk(piece))
    assert Estimates().stream(call(), tap, place=PLACE) == Usage(
        input=9, cached_input=5, output=5, estimated=True
    )


def test_told_usage_is_the_truth_when_the_stream_ended_well() -> None:
    """Whatever the order in which its parts came."""
    tap = sent(["one"])
    tap.feed(chunk(" two", usage=USAGE))
    tap.feed(chunk(" three", reason="stop"))
    tap.feed(b"[DONE]")
    assert Estimates().stream(call(), tap, place=PLACE) == Usage(input=9, output=3)


def test_count_of_no_output_is_none_when_output_came() -> None:
    """An upstream that says zero beside a text did not count; where no text was wanted it did."""
    zero = {"prompt_tokens": 9, "completion_tokens": 0}
    tap = sent(["one", " two"], end=True, tokens=0)
    assert Estimates().stream(call(), tap, place=PLACE) == Usage(input=9, output=2, estimated=True)
    assert Estimates().stream(call(max_tokens=0), tap, place=PLACE) == Usage(input=9)
    answer = json.dumps({"choices": [{"message": {"content": "x" * 40}}], "usage": zero}).encode()
    told = Usage(input=9)
    assert Estimates().answer(call(), told, answer, place=PLACE) == Usage(input=9, output=10, estimated=True)
    assert Estimates().answer(call(max_tokens=0), told, answer, place=PLACE) is told
    assert Estimates().answer(call(), told, b'{"choices":[{"message":{"content":""}}]}', place=PLACE) is told


# ---- whole answers, and requests


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        (b'{"id":"a-long-id-that-is-no-text","choices":[{"message":{"content":"12345678"}}]}', 2),
        (b'{"choices":[{"message":{"content":""}}]}', 1),
        (b'{"data":[{"embedding":[0.5]}]}xxxxxx', 9),
    ],
)
def test_answer_is_counted_by_its_text_when_it_tells_no_usage(answer: bytes, output: int) -> None:
    """The envelope is nobody's output; of an unknown shape all is; an answer is never free."""
    usage = Estimates().answer(call(), None, answer, place=PLACE)
    assert (usage.output, usage.estimated) == (output, True)
    assert Estimates().answer(call(max_tokens=0), None, answer, place=PLACE).output == 0


WORDS = "word " * 600
PICTURE = "data:image/png;base64," + "A" * 500_000


def _input_of(body: dict[str, Any], estimates: Estimates | None = None) -> int:
    asked = call(json.dumps(body).encode())
    return (estimates or Estimates()).stream(asked, sent(["x"]), place=PLACE).input


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": WORDS}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": WORDS}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": word}]} for word in ["word " * 6] * 100]},
        {"system": WORDS[1500:], "messages": [{"role": "user", "content": WORDS[:1500]}]},
        {"messages": [{"role": "tool", "tool_call_id": "call_" + "x" * 500, "content": WORDS}]},
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": WORDS}]}]},
        {"messages": [{"role": "user", "content": [
            {"type": "document", "source": {"type": "text", "media_type": "", "data": WORDS}}]}]},
        {"messages": [{"role": "assistant", "content": [
            {"type": "thinking", "thinking": WORDS, "signature": "s" * 4_000}]}]},
        {"instructions": WORDS[1500:], "input": [{"role": "user", "content": [{"type": "input_text", "text": WORDS[:1500]}]}]},
        {"prompt": WORDS, "user": "x" * 999},
        {"input": [WORDS[:1500], WORDS[1500:]]},
        {"input": [7] * 750},
    ],
)  # fmt: skip
def test_input_is_estimated_by_its_text_when_nothing_was_told(body: dict[str, Any]) -> None:
    """Four bytes a token of what the model reads, in every dialect; the JSON around it is nobody's prompt."""
    assert _input_of({"model": "mock", "metadata": {"a": "b" * 400}, **body}) == pytest.approx(750, rel=0.05)


def test_tools_and_calls_count_as_the_json_that_the_model_reads() -> None:
    """Names, descriptions and schemas; and the arguments of calls, as an object or as text."""
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"description": WORDS}}}]
    assert _input_of({"model": "m", "messages": [], "tools": tools}) == pytest.approx(750, rel=0.05)
    used = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": WORDS}}
    made = {"type": "function", "id": "t", "function": {"name": "f", "arguments": json.dumps({"a": WORDS})}}
    for said in ({"content": [used]}, {"content": None, "tool_calls": [made]}):
        found = _input_of({"model": "m", "messages": [{"role": "assistant", **said}]})
        assert found == pytest.approx(750, rel=0.05)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": PICTURE}},
        {"type": "image_url", "image_url": {"url": "https://example.org/p.png"}},
        {"type": "input_audio", "input_audio": {"data": "A" * 500_000, "format": "wav"}},
        {"type": "image", "source": {"type": "base64", "data": "A" * 500_000}},
        {"type": "document", "source": {"type": "url", "url": "https://example.org/d.pdf"}},
        {"type": "input_image", "image_url": PICTURE},
    ],
)
def test_picture_counts_once_when_nothing_was_told(part: dict[str, Any]) -> None:
    """However many bytes it has, or only an address."""
    text = {"type": "text", "text": WORDS}
    assert _input_of({"messages": [{"role": "user", "content": [text, part]}]}) == 750 + MEDIA_TOKENS


def test_input_is_estimated_by_what_prompts_came_to_when_the_target_told() -> None:
    """As many bytes a token as with those that were counted; pictures, and prompts of a few words, teach nothing."""
    estimates = Estimates()
    body = {"messages": [{"role": "user", "content": WORDS}]}
    shown = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}
    for asked, tokens in ((body, 1000), (shown, 5000), ({"prompt": "Hi"}, 9)):
        told = Usage(input=tokens, output=20)
        estimates.answer(call(json.dumps(asked).encode()), told, b"{}", place=PLACE)
    assert _input_of(body, estimates) == 1000
    assert estimates.stream(call(b'{"prompt":"Hi"}'), sent(prose(30, 1)), place=PLACE).output == 30


def test_input_is_estimated_as_before_when_a_prompt_came_to_more_tokens_than_bytes() -> None:
    """One count that cannot be is no lesson; one that can be still is."""
    estimates = Estimates()
    body = {"messages": [{"role": "user", "content": WORDS}]}
    asked = call(json.dumps(body).encode())
    estimates.answer(asked, Usage(input=10**9, output=20), b"{}", place=PLACE)
    assert _input_of(body, estimates) == _input_of(body)
    estimates.answer(asked, Usage(input=1000, output=20), b"{}", place=PLACE)
    assert _input_of(body, estimates) == 1000


@given(st.recursive(st.none() | st.booleans() | st.integers(-9, 9**9) | st.text(), lambda each: st.lists(each) | st.dictionaries(
    st.sampled_from(["type", "text", "content", "source", "arguments", "input", "image", "x"]), each)))  # fmt: skip
def test_input_is_bounded_by_the_body_whatever_it_holds(value: Any) -> None:
    """Tolerant of every shape, and never more than a token a byte and the media: that much money is held."""
    names = ("messages", "system", "input", "prompt", "tools", "text")
    body = json.dumps(dict.fromkeys(names, value), ensure_ascii=False).encode("utf-8", "replace")
    asked = call(body)
    media = json.dumps(value).count('"type"') * len(names)
    found = Estimates().stream(asked, sent(["x"]), place=PLACE).input
    assert 0 <= found <= len(body) + MEDIA_TOKENS * media
