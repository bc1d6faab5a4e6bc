"""The laws of the chat codec on drawn values: what it encodes it decodes again, whole and streamed."""

import json
import os
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from canonicalforms import CHAT as HERE
from canonicalforms import bare, chat_answers, chat_requests, without_nothing
from ingot.canonical import Answer, Origin, Request, Turn
from ingot.catalog import Quirks
from ingot.dialects.chat import CHAT
from ingot.dialects.codec import Destination, Reply
from ingot.dialects.codecs.chat import CHAT_CODEC
from ingot.dialects.fold import assemble
from ingot.events import AnyEvent, fold
from ingot.rawjson import Body
from ingot.sse import SseSplitter, event_data
from storylines import Story, stories, streams

EXAMPLES = int(os.environ.get("INGOT_EXAMPLES", "60"))
ASKED = Request(origin="chat", model="m", turns=(Turn("user", ()),), stream=True, stream_usage=True)
NOWHERE = Body(b"{}", {})


def reply(answer: Answer) -> Reply:
    """What keeps an answer's own names."""
    return Reply(answer.id, answer.model, int(answer.created or 0), ASKED, NOWHERE)


def decoded(pieces: list[bytes], *, n: int) -> list[list[AnyEvent]]:
    """The events of a stream, those of one of its own events together."""
    splitter, decoder = SseSplitter(), CHAT_CODEC.decode_stream(HERE, n)
    told = [
        decoder.feed(data)
        for piece in pieces
        for event in splitter.feed(piece)
        if (data := event_data(event)) is not None
    ]
    assert decoder.losses == ()
    return [*told, decoder.close()]


def folded(told: list[list[AnyEvent]]) -> Answer:
    """The answer of these events."""
    return fold(event for events in told for event in events)


@settings(max_examples=EXAMPLES, deadline=None)
@given(request=chat_requests())
def test_request_when_encoded_and_decoded(request: Request) -> None:
    """A request that chat can carry is a valid body, and comes back as it was."""
    to = Destination(Origin("chat", "target"), request.model, Quirks(), stream=request.stream)
    data, losses = CHAT_CODEC.encode_request(request, to)
    again, unread = CHAT_CODEC.decode_request(CHAT.decode(data).body)
    assert bare(again) == request
    assert losses == unread == ()


@settings(max_examples=EXAMPLES, deadline=None)
@given(answer=chat_answers())
def test_answer_when_encoded_and_decoded(answer: Answer) -> None:
    """An answer that chat can carry comes back as it was."""
    data, losses = CHAT_CODEC.encode_answer(answer, reply(answer))
    again, unread = CHAT_CODEC.decode_answer(data, answer.origin)
    assert bare(again) == answer
    assert losses == unread == ()


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data(), told=st.lists(stories, min_size=1, max_size=3).map(tuple))
def test_stream_when_a_server_cuts_it_anywhere(data: st.DataObject, told: tuple[Story, ...]) -> None:
    """Its events fold to what the unstreamed answer says, be characters cut in two or choices mixed."""
    stream = data.draw(streams(told))
    at = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[low:high] for low, high in pairwise([0, *at, len(stream)])]
    events = decoded(pieces, n=len(told))
    whole, _ = CHAT_CODEC.decode_answer(assemble(stream), HERE)
    assert bare(folded(events)) == bare(whole)
    assert events == decoded([stream], n=len(told))


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data(), told=st.lists(stories, min_size=1, max_size=3).map(tuple), together=st.integers(1, 9))
def test_stream_when_encoded_for_a_client(
    data: st.DataObject, told: tuple[Story, ...], together: int
) -> None:
    """Clients that join chunks in OpenAI's way have the same answer as one who did not stream."""
    events = decoded([data.draw(streams(told))], n=len(told))
    answer = folded(events)
    encoder = CHAT_CODEC.encode_stream(reply(answer))
    flat = [event for each in events for event in each]
    given = b"".join(encoder.feed(flat[at : at + together]) for at in range(0, len(flat), together))
    whole, losses = CHAT_CODEC.encode_answer(answer, reply(answer))
    assert said(json.loads(assemble(given))) == said(json.loads(whole))
    assert encoder.losses == losses == ()


def said(answer: object) -> object:
    """An answer's JSON; that nothing was said is told as null or as an empty text."""
    told = without_nothing(answer)
    for choice in told["choices"]:
        choice["message"] = {name: text for name, text in choice["message"].items() if text != ""}
    return told
