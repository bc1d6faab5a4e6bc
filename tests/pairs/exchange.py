"""One feature through one pair of dialects, as the pure codecs translate it; and the golden files of all of them.

    PYTHONPATH=src:tests python -m pairs.exchange      writes tests/contract/pairs/FEATURE.json

A golden file holds, under `asked` and `told`, what clients ask and targets answer, and for each pair of two dialects:

    request    the body at the target      lost       path and reason of what it does not say
    answer     the answer at the client    unsaid     path and reason of what it does not say
    stream     the same, event by event    unsaid_streamed

and under `request_newer`, `lost_newer` what a target of messages gets in its newer version where that is different.

Of answers of `responses` the settings that it echoes from its client's request are left out, of streams what every
event repeats: the id, the model, the time, the number of an event. A dialect that has no words for a feature neither
asks for it nor answers it.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingot.canonical import Losses, Origin, Request
from ingot.catalog import Quirks
from ingot.dialects.chat import CHAT
from ingot.dialects.codec import Codec, Destination, Reply
from ingot.dialects.codecs import Wire
from ingot.dialects.codecs.chat import CHAT_CODEC
from ingot.dialects.codecs.messages import MESSAGES_CODEC, MESSAGES_CODECS
from ingot.dialects.codecs.responses import RESPONSES_CODEC
from ingot.dialects.codecs.responses.echo import ECHOED
from ingot.dialects.cuts import TextCheck
from ingot.dialects.dialect import StreamTap
from ingot.dialects.messages import MESSAGES
from ingot.dialects.responses import RESPONSES
from ingot.events import AnyEvent
from ingot.rawjson import Body
from ingot.services.relay import pass_on
from ingot.services.translation import TranslatedTap, Translation
from ingot.sse import DONE, SseSplitter, event_data
from pairs.asked import ANSWERS, ASKED
from pairs.streams import STREAMS
from pairs.told import TOLD
from pairs.words import Json

FOLDER = Path(__file__).parent.parent / "contract" / "pairs"
CODECS: dict[str, Codec] = {"chat": CHAT_CODEC, "messages": MESSAGES_CODEC, "responses": RESPONSES_CODEC}
CHECKS: dict[str, Callable[[bytes], Body]] = {
    "chat": lambda data: CHAT.decode(data).body,
    "messages": lambda data: MESSAGES.decode(data).body,
    "responses": lambda data: RESPONSES.decode(data).body,
}
# What passes bytes on, where client and target speak the same.
RELAYS = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}
PAIRS = [(client, target) for client in CODECS for target in CODECS]
CREATED = 1_790_000_000
STREAMED: dict[str, Json] = {
    "chat": {"stream": True, "stream_options": {"include_usage": True}},
    "messages": {"stream": True},
    "responses": {"stream": True},
}
# What every event of a stream repeats; a test says that it is the same in all of them.
SAME = {
    "chat": frozenset({"id", "object", "created", "model"}),
    "messages": frozenset[str](),
    "responses": frozenset({"sequence_number", "item_id"}),
}
_ECHOED = ECHOED | {"id", "object", "created_at", "model"}


@dataclass(frozen=True, slots=True)
class Sent:
    """A request on its way to a target: as its client wrote it, as the target gets it, and what was lost."""

    request: Request
    body: Body
    data: bytes
    losses: Losses


def send(body: Json, client: str, target: str, *, stream: bool = False, newer: bool = False) -> Sent:
    """A client's request at a target; raises ClientError where its dialect refuses it.

    `newer`: a target of `messages` that speaks the newer version.
    """
    far = MESSAGES_CODECS["2026-10-21"] if newer and target == "messages" else CODECS[target]
    asked = CHECKS[client](dumped({**body, **STREAMED[client]} if stream else body))
    request, unread = CODECS[client].decode_request(asked)
    to = Destination(Origin(CODECS[target].name, "target"), "upstream-model", Quirks(), stream=stream)
    data, losses = far.encode_request(request, to)
    return Sent(request, asked, data, unread + losses)


def reply(sent: Sent) -> Reply:
    """What a client's answer takes from us."""
    return Reply("id_1", "demo", CREATED, sent.request, sent.body)


def answer(told: Json, sent: Sent, client: str, target: str) -> tuple[bytes, Losses]:
    """A target's answer at the client."""
    whole, unread = CODECS[target].decode_answer(dumped(told), Origin(CODECS[target].name, "target"))
    data, losses = CODECS[client].encode_answer(whole, reply(sent))
    return data, unread + losses


def stream(data: bytes, sent: Sent, client: str, target: str) -> tuple[bytes, Losses]:
    """A target's stream at the client."""
    decoder = CODECS[target].decode_stream(Origin(CODECS[target].name, "target"), 1)
    encoder = CODECS[client].encode_stream(reply(sent))
    given = b""
    for event in SseSplitter().feed(data):
        told = event_data(event)
        if told is not None:
            given += encoder.feed(decoder.feed(told))
    last: list[AnyEvent] = decoder.close()
    given += encoder.feed(last)
    return given, decoder.losses + encoder.losses


def tap(sent: Sent, client: str, target: str) -> TranslatedTap:
    """The tap through which the server translates a target's stream."""
    far, relay = CODECS[target], RELAYS[client]
    call = relay.decode(sent.body.data)
    to = Destination(Origin(far.name, "target"), "upstream-model", Quirks(), stream=True)
    wire = Wire(RELAYS[target], far)
    return TranslatedTap(
        Translation(wire, CODECS[client], to, sent.data, reply(sent), sent.losses),
        decoder=far.decode_stream(to.origin, 1),
        encoder=CODECS[client].encode_stream(reply(sent)),
        watch=relay.tap(call, model="demo", public="demo"),
    )


def tapped(pieces: Iterable[bytes], through: StreamTap) -> bytes:
    """What a client gets of a target's bytes that come in these pieces, as the server passes them on."""
    splitter, text = SseSplitter(), TextCheck()
    return b"".join([pass_on(splitter, through, piece, text=text) for piece in pieces])


def events(data: bytes) -> list[Any]:
    """The data of a stream's events, decoded; its end as the word that it is."""
    told = [event_data(event) for event in SseSplitter().feed(data)]
    return ["[DONE]" if each == DONE else json.loads(each) for each in told if each is not None]


def dumped(value: Any) -> bytes:
    """JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


# --- golden files ---


def exchange(feature: str, client: str, target: str) -> Json:
    """What became of a feature between a client and a target."""
    passed: Json = {}
    if feature not in ANSWERS:
        sent = send(asked_of(feature, client), client, target)
        passed |= {"request": json.loads(sent.data), "lost": listed(sent.losses)}
        newer = send(asked_of(feature, client), client, target, newer=True)
        if newer.data != sent.data:
            passed |= {"request_newer": json.loads(newer.data), "lost_newer": listed(newer.losses)}
    if feature in TOLD and target in TOLD[feature]:
        passed |= _answered(feature, client, target)
    return passed


def _answered(feature: str, client: str, target: str) -> Json:
    """The answer of a target that has words for the feature."""
    told = TOLD[feature][target]
    data, unsaid = answer(told, send(asked_of(feature, client), client, target), client, target)
    streamed = send(asked_of(feature, client), client, target, stream=True)
    given, unsaid_streamed = stream(STREAMS[target](told), streamed, client, target)
    return {
        "answer": shortened(json.loads(data), client),
        "unsaid": listed(unsaid),
        "stream": [shortened_event(event, client) for event in events(given)],
        "unsaid_streamed": listed(unsaid_streamed),
    }


def asked_of(feature: str, client: str) -> Json:
    """What a client asks for a feature."""
    return ASKED[feature][client]


def listed(losses: Losses) -> list[list[str]]:
    """Losses as the files have them."""
    return [[loss.path, loss.reason] for loss in losses]


def shortened(value: Json, client: str) -> Json:
    """An answer without what it echoes."""
    known = _ECHOED if client == "responses" else {"id", "object", "created", "model"}
    return {name: held for name, held in value.items() if name not in known}


def shortened_event(event: Any, client: str) -> Any:
    """An event without what all of them repeat."""
    if not isinstance(event, dict):
        return event
    told = {name: held for name, held in event.items() if name not in SAME[client]}
    if "response" in told:
        told["response"] = shortened(told["response"], client)
    return told


def golden(feature: str) -> Json:
    """A feature's file."""
    told: Json = {"asked": ASKED[feature], "told": TOLD.get(feature, {})}
    for client, target in PAIRS:
        if client in ASKED[feature] and client != target:
            told[f"{client} to {target}"] = exchange(feature, client, target)
    return told


def written(value: Json) -> str:
    """A golden file's text: a line for each body and each event."""
    sections = []
    for title, section in value.items():
        lines = []
        for name, held in section.items():
            if isinstance(held, list):
                rows = ",\n".join(f"   {_line(each)}" for each in held)
                lines.append(f"  {_line(name)}: [\n{rows}\n  ]" if held else f"  {_line(name)}: []")
            else:
                lines.append(f"  {_line(name)}: {_line(held)}")
        sections.append(f" {_line(title)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(sections) + "\n}\n"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in ASKED:
        (FOLDER / f"{each}.json").write_text(written(golden(each)), encoding="utf-8")
