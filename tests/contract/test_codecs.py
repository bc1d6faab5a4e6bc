"""The laws of codecs, on every golden transcript: what was decoded is encoded again, and a stream is its answer.

request.json                      decode, encode: the same JSON; decode again: the same request
upstream.json                     decode, encode: the same JSON
upstream.sse                      folds to upstream.json's answer where both are there, however its bytes are cut;
                                  encoded again it folds to the same answer
(null and empty lists are as good as absent)
"""

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec import structs

from canonicalforms import bare, without_nothing
from ingot.canonical import Answer, Origin, Request
from ingot.catalog import Quirks
from ingot.dialects.chat import CHAT
from ingot.dialects.codec import Codec, Destination, Reply
from ingot.dialects.codecs.chat import CHAT_CODEC
from ingot.dialects.codecs.messages import MESSAGES_CODEC
from ingot.dialects.codecs.responses import RESPONSES_CODEC
from ingot.events import AnyEvent, fold
from ingot.rawjson import Body, parse
from ingot.sse import SseSplitter, event_data

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Spoken:
    """A dialect for these laws: its codec, and its check of a client's body, which raises ApiError."""

    codec: Codec
    check: Callable[[bytes], Body]


DIALECTS = {
    "chat": Spoken(CHAT_CODEC, lambda data: CHAT.decode(data).body),
    "messages": Spoken(MESSAGES_CODEC, parse),
    "responses": Spoken(RESPONSES_CODEC, parse),
}


def cases(*files: str) -> list[Path]:
    """The transcripts of all dialects that have these files."""
    found = [path for name in DIALECTS for path in (HERE / name).iterdir()]
    return sorted(case for case in found if all((case / name).exists() for name in files))


def named(case: Path) -> str:
    """A case in a test's id."""
    return f"{case.parent.name}/{case.name}"


def asked(case: Path) -> tuple[Codec, Request, Body]:
    """A case's request as its codec has it."""
    spoken = DIALECTS[case.parent.name]
    body = spoken.check((case / "request.json").read_bytes())
    request, losses = spoken.codec.decode_request(body)
    assert losses == ()
    return spoken.codec, request, body


def origin(codec: Codec) -> Origin:
    """The target that the transcripts are of."""
    return Origin(codec.name, "target")


def whole(codec: Codec, case: Path) -> Answer:
    """The case's plain answer."""
    answer, losses = codec.decode_answer((case / "upstream.json").read_bytes(), origin(codec))
    assert losses == ()
    return answer


def decoded(codec: Codec, pieces: Iterable[bytes], *, n: int) -> list[list[AnyEvent]]:
    """The events of a stream that came in these pieces, those of one of its own events together."""
    splitter, decoder = SseSplitter(), codec.decode_stream(origin(codec), n)
    told = []
    for piece in pieces:
        for event in splitter.feed(piece):
            data = event_data(event)
            if data is not None:
                told.append(decoder.feed(data))
    told.append(decoder.close())
    assert decoder.losses == ()
    return told


def folded(told: list[list[AnyEvent]]) -> Answer:
    """The answer of these events."""
    return fold(event for events in told for event in events)


def reply(answer: Answer, request: Request, body: Body) -> Reply:
    """What keeps an answer's own names."""
    created = answer.created or 0
    return Reply(answer.id, answer.model, int(created), request, body)


def sent(codec: Codec, request: Request) -> bytes:
    """What a target of the same dialect gets of a request, for which nothing is lost."""
    to = Destination(origin(codec), request.model, Quirks(), stream=request.stream)
    encoded, losses = codec.encode_request(request, to)
    assert losses == ()
    return encoded


# Those that end as an error are refused before a codec sees them.
REQUESTS = [
    case
    for case in cases("request.json")
    if not (case / "expected.json").exists()
    or "status" not in json.loads((case / "expected.json").read_bytes())
]


@pytest.mark.parametrize("case", REQUESTS, ids=named)
def test_request_when_decoded_and_encoded(case: Path) -> None:
    """The same JSON goes to a target of the same dialect, and nothing is lost."""
    codec, request, body = asked(case)
    told, value = json.loads(sent(codec, request)), {**body.value}
    if codec.name == "chat" and request.stream:
        # Counts are always asked for: an answer is billed by them.
        value["stream_options"] = {**(value.get("stream_options") or {}), "include_usage": True}
    assert without_nothing(told) == without_nothing(value)


@pytest.mark.parametrize("case", REQUESTS, ids=named)
def test_request_when_decoded_once_more(case: Path) -> None:
    """What was encoded says what was decoded."""
    codec, request, _ = asked(case)
    check = DIALECTS[case.parent.name].check
    once, _ = codec.decode_request(check(sent(codec, request)))
    twice, _ = codec.decode_request(check(sent(codec, once)))
    assert bare(once) == bare(twice)
    assert bare(once.turns) == bare(request.turns)
    assert bare(once.tools) == bare(request.tools)


@pytest.mark.parametrize("case", cases("request.json", "upstream.json"), ids=named)
def test_answer_when_decoded_and_encoded(case: Path) -> None:
    """A client of the same dialect gets the same JSON, and nothing is lost."""
    codec, request, body = asked(case)
    answer = whole(codec, case)
    encoded, losses = codec.encode_answer(answer, reply(answer, request, body))
    told = json.loads((case / "upstream.json").read_bytes())
    assert without_nothing(json.loads(encoded)) == without_nothing(told)
    assert losses == ()


@pytest.mark.parametrize("case", cases("request.json", "upstream.json", "upstream.sse"), ids=named)
def test_stream_when_folded(case: Path) -> None:
    """It is the answer that the target gives unstreamed."""
    codec, request, _ = asked(case)
    told = decoded(codec, [(case / "upstream.sse").read_bytes()], n=request.n or 1)
    assert bare(folded(told)) == bare(whole(codec, case))


@pytest.mark.parametrize("case", cases("request.json", "upstream.sse"), ids=named)
def test_stream_when_its_bytes_are_cut_anywhere(case: Path) -> None:
    """Not the pieces count but the bytes."""
    codec, request, _ = asked(case)
    data = (case / "upstream.sse").read_bytes()
    n = request.n or 1
    at_once = decoded(codec, [data], n=n)
    assert decoded(codec, [data[at : at + 1] for at in range(len(data))], n=n) == at_once
    draw = random.Random(case.name)  # noqa: S311  drawing places to cut is not cryptography
    for _ in range(5):
        ends = [0, *sorted(draw.sample(range(len(data)), 12)), len(data)]
        assert decoded(codec, [data[low:high] for low, high in pairwise(ends)], n=n) == at_once


@pytest.mark.parametrize("together", [1, 3, 1000])
@pytest.mark.parametrize("case", cases("request.json", "upstream.sse"), ids=named)
def test_stream_when_encoded_again(case: Path, together: int) -> None:
    """A client of the same dialect is told the same answer, be few or many events encoded at once."""
    codec, request, body = asked(case)
    n = request.n or 1
    told = decoded(codec, [(case / "upstream.sse").read_bytes()], n=n)
    answer = folded(told)
    if answer.failure is not None or (codec.name == "chat" and not request.stream_usage):
        # An error is the caller's to tell, and chat tells counts to those who asked.
        answer = structs.replace(answer, failure=None, usage=None)
    encoder = codec.encode_stream(reply(answer, request, body))
    flat = [event for events in told for event in events]
    given = [encoder.feed(flat[at : at + together]) for at in range(0, len(flat), together)]
    assert bare(folded(decoded(codec, given, n=n))) == bare(answer)
    assert encoder.losses == ()


@pytest.mark.parametrize("case", cases("request.json", "upstream.sse"), ids=named)
def test_stream_when_it_breaks_off(case: Path) -> None:
    """Half a stream is half an answer, and says so."""
    codec, request, _ = asked(case)
    events = SseSplitter().feed((case / "upstream.sse").read_bytes())
    for count in range(2, len(events) - 3):
        answer = folded(decoded(codec, events[:count], n=request.n or 1))
        assert answer.complete is False
        assert answer.failure is None or case.name == "stream_error"
