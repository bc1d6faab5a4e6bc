"""A request for a target of another dialect, and its answer back, through the canonical form.

    client's body    --decode--> Request --encode--> target's body      losses of both: reported, or refused
    client's answer  <--encode-- Answer  <--decode-- target's answer    losses of both: reported, for the answer is made
    client's stream  <--encode-- events  <--decode-- target's stream    the same, in a TranslatedTap

Decides what becomes of losses, and under which id and name an answer is given. Refuses to know routes, retries and doors,
and every wire format: those are the codecs'.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from ingot import canonical, rawjson
from ingot.canonical import Loss, Losses, Origin, Request
from ingot.catalog import Route
from ingot.dialects.chat import CHAT
from ingot.dialects.codec import Codec, Destination, Reply, StreamDecoder, StreamEncoder
from ingot.dialects.codecs import CODECS, VERSION, Wire, wire_of
from ingot.dialects.codecs.counts import bounded
from ingot.dialects.codecs.grammars import Held, hold
from ingot.dialects.codecs.messages.answers import UNTOLD_USAGE
from ingot.dialects.dialect import AS_IT_IS, Call, Said, StreamTap, Usage
from ingot.dialects.principles import MarkedEvents, marked, principled
from ingot.dialects.usage import USAGE
from ingot.errors import ApiError, Unsupported, UpstreamError
from ingot.events import AnyEvent, Ended, Failed, Started, UsageTold
from ingot.services.apart import apart
from ingot.services.door import Inference
from ingot.services.estimates import as_told
from ingot.services.losses import Lossy, joined, refuse_lossy
from ingot.services.places import own_losses
from ingot.services.silence import check_asked
from ingot.services.thoughts import Sealer, opened, sealer
from ingot.services.toolnames import ToolNames, plain_names
from ingot.sse import SseSplitter, event_data

_IDS: Final = {"chat": "chatcmpl-", "responses": "resp_", "messages": "msg_"}
_OURS: Final = "resp_"

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Translation:
    """One request as its target gets it, and what its answer needs on the way back; `losses` grow with the answer."""

    wire: Wire
    near: Codec
    destination: Destination
    body: bytes
    reply: Reply
    losses: Losses
    mark: str | None = None
    """What refusals begin with."""
    held: Held | None = None
    """Where the target is held to schemas by a grammar: what it was sent, and how its answer is turned back."""
    sealer: Sealer | None = None
    """What seals the target's thoughts for the client."""
    names: ToolNames | None = None
    """What gives calls the names of the client's tools, where the target was sent others."""

    async def answer(self, data: bytes) -> tuple[bytes, Usage | None]:
        """The client's answer, and what the target counted; raises ValueError where it is none of its dialect."""
        return await apart(len(data), lambda: self._answer(data))

    def _answer(self, data: bytes) -> tuple[bytes, Usage | None]:
        far, quirks = self.wire.codec, self.destination.quirks
        if self.held is not None:
            data = CHAT.turn_back(data, self.held.turn)
        answer, lost_in = far.decode_answer(data, self.destination.origin)
        if quirks.usage != USAGE:
            answer = msgspec.structs.replace(answer, usage=usage_at(far, data, quirks.usage))
        if self.sealer is not None:
            answer = self.sealer.answer(answer)
        if self.names is not None:
            answer = self.names.answer(answer)
        lost_marks: Losses = ()
        if self.mark is not None:
            answer, lost_marks = marked(answer, self.mark)
        told, lost_out = self.near.encode_answer(answer, self.reply)
        self.losses = joined(self.losses, lost_in, lost_marks, lost_out)
        return told, None if answer.usage is None else counts_of(answer.usage)

    @property
    def demands_counts(self) -> bool:
        """Whether the client's answer has counts whatever the target told: streams of chat have them where asked for."""
        asked = self.near.name != "chat" or self.reply.request.stream_usage
        return asked or not self.destination.stream

    def counted(self, body: bytes, usage: Usage) -> bytes:
        """The client's answer with what was estimated and is billed, where its target told no counts."""
        if not self.demands_counts:
            return body
        self.losses = tuple(loss for loss in self.losses if loss != UNTOLD_USAGE)
        told = self.near.encode_usage(as_told(usage).usage)
        return rawjson.splice_bytes(body, replace={"usage": _encode(told)})

    def tap(self, inference: Inference) -> "TranslatedTap":
        """The tap on the target's stream."""
        call, public = inference.call, inference.deployment.name
        return TranslatedTap(
            self,
            decoder=self.wire.codec.decode_stream(self.destination.origin, call.n),
            encoder=self.near.encode_stream(self.reply),
            watch=inference.dialect.tap(call, model=public, public=public),
            turned=_turned(self.held),
        )


def _turned(held: Held | None) -> StreamTap | None:
    """What turns a stream back before it is read, where that is needed."""
    if held is None or held.turn is AS_IT_IS:
        return None
    return CHAT.tap(held.call, model=held.call.model, public=held.call.model, turn=held.turn)


def translate(inference: Inference, call: Call, route: Route) -> Translation:
    """The request for a target that `routing.routes_for` found; raises ClientError, Lossy among them.

    `call` is the inference's own, as targets get it. Belongs on a thread where it is large.
    """
    wire = wire_of(route.target)
    near = CODECS[inference.dialect.codec]
    if wire is None:
        raise LookupError(route.target.name)
    deployment, quirks = inference.deployment, route.target.quirks
    if inference.dialect.check_translated is not None:
        try:
            inference.dialect.check_translated(call, deployment.name)
        except Unsupported as error:
            raise Lossy(error.message, param=error.param, code=error.code) from error
    request, lost_in = near.decode_request(call.body)
    request = opened(request, call.stamp)
    sent = request
    if deployment.constitution is not None:
        sent = principled(request, deployment.constitution, breakpoints=wire.codec.name == "messages")
    sent, names = plain_names(sent, wire.codec.name)
    origin = Origin(wire.codec.name, route.target.name)
    # Tokens are kept out of an answer once, by `hold`, which reads the body as a client's.
    held_later = wire.dialect is CHAT and quirks.gbnf
    encoded_with = dataclasses.replace(quirks, silent=()) if held_later else quirks
    destination = Destination(origin, route.model, encoded_with, stream=call.stream)
    body, lost_out = wire.codec.encode_request(sent, destination)
    losses = joined(lost_in, lost_out, _lost_headers(call))
    refuse_lossy(losses, deployment)
    check_asked(request, wire.codec.name, deployment=deployment.name)
    held = None
    if held_later:
        held = hold(body, request, quirks, deployment=deployment.name)
        body = held.body
    losses = own_losses(losses, inference.dialect, call)
    reply = _reply(inference, request)
    return Translation(
        wire,
        near,
        destination,
        body,
        reply,
        losses,
        mark=deployment.refusal_mark,
        held=held,
        sealer=sealer(call.stamp, origin),
        names=names,
    )


def _lost_headers(call: Call) -> Losses:
    """What a client's headers ask of targets of its own dialect; the version is obeyed here."""
    return tuple(
        Loss(name, "header", "the target speaks another dialect, which does not know it")
        for name, _ in call.headers
        if name != VERSION
    )


def _reply(inference: Inference, request: Request) -> Reply:
    return Reply(
        id=_IDS[inference.dialect.codec] + inference.response_id.removeprefix(_OURS),
        model=inference.deployment.name,
        created=inference.created_at // 1_000_000,
        request=request,
        body=inference.call.body if inference.call.stamp is None else inference.call.stamp.asked,
    )


# --- counts ---


def counts_of(told: canonical.Usage) -> Usage:
    """Canonical counts as they are billed, and as clients are told them: parts are never more than their whole."""
    told = bounded(told)
    return Usage(
        input=told.input,
        cached_input=told.cached_input or 0,
        cache_write=told.cache_write or 0,
        output=told.output,
        reasoning=told.reasoning or 0,
    )


def usage_at(codec: Codec, data: bytes, path: Sequence[str]) -> canonical.Usage | None:
    """The counts of a target that tells them elsewhere; None where there are none."""
    try:
        found = _decode(data)
    except (ValueError, RecursionError):
        return None
    for key in path:
        found = found.get(key) if type(found) is dict else None
    return None if found is None else codec.decode_usage(found)


# --- streams ---


class TranslatedTap:
    """Follows one stream; see `dialect.StreamTap` for what each attribute says.

    What the codec makes goes through the client's own tap, so that a translated stream is measured, kept, estimated and
    dressed as any other.
    """

    __slots__ = (
        "_counted",
        "_decoder",
        "_encoder",
        "_marked",
        "_splitter",
        "_translation",
        "_turned",
        "_watch",
        "deltas",
        "done",
        "estimate",
        "failed",
        "id",
        "request_id",
        "usage",
    )

    def __init__(
        self,
        translation: Translation,
        *,
        decoder: StreamDecoder,
        encoder: StreamEncoder,
        watch: StreamTap,
        turned: StreamTap | None = None,
    ) -> None:
        """`watch` is the tap of the client's dialect; `turned` turns the target's events back before they are read."""
        self.usage: Usage | None = None
        self.deltas = 0
        self.id: str | None = None
        self.request_id = ""
        self.estimate: Callable[[StreamTap], Usage] | None = None
        self.done = False
        self.failed = False
        self._translation = translation
        self._decoder = decoder
        self._encoder = encoder
        self._watch = watch
        self._turned = turned
        self._marked = None if translation.mark is None else MarkedEvents(translation.mark)
        self._splitter = SseSplitter()
        self._counted = Said()

    @property
    def finished(self) -> bool:
        return self._watch.finished

    @property
    def given(self) -> bytes:
        return self._watch.given

    @property
    def said(self) -> Said:
        return self._watch.said

    @property
    def uncounted(self) -> Said:
        return self._watch.said.since(self._counted)

    @property
    def losses(self) -> Losses:
        """What was lost of the request, and of the answer so far."""
        marks = () if self._marked is None else self._marked.losses
        return joined(self._translation.losses, self._decoder.losses, marks, self._encoder.losses)

    @staticmethod
    def frame(data: bytes, /) -> bytes:
        """What `feed` gives are events already."""
        return data

    def feed(self, data: bytes) -> bytes | None:
        """The client's events for the data of one event of the target; nothing once the stream is over."""
        if self.done:
            return None
        if self._turned is not None:
            kept = self._turned.feed(data)
            if kept is None:
                return None
            data = kept
        try:
            events = self._decoder.feed(data)
        except (ValueError, RecursionError):
            return self._break("sent an event that cannot be read")
        path = self._translation.destination.quirks.usage
        if path != USAGE:
            told = usage_at(self._translation.wire.codec, data, path)
            if told is not None:
                # Before the end, behind which nothing is told.
                events = [UsageTold(told), *events]
        return self._give(events)

    def close(self) -> bytes:
        """The client's last events, where the target's stream is whole without its own end; then `done` says so."""
        return self._give(self._decoder.close())

    def fail(self, error: ApiError, request_id: str) -> bytes:
        """The client's last events, where the stream cannot go on."""
        self.done = self.failed = True
        watch = self._watch
        told = None if watch.done else self._encoder.fail(error, request_id)
        if told is None:
            return watch.fail(error, request_id)
        # The words are ours, so that the client's own tap lets them through.
        watch.failed = True
        return self._watched(told)

    def _give(self, events: Sequence[AnyEvent]) -> bytes:
        for changes in (self._translation.sealer, self._translation.names):
            if changes is not None:
                events = [changes.event(event) for event in events]
        due = list(events if self._marked is None else self._marked.feed(events))
        given = b""
        ends = next((index for index, event in enumerate(due) if isinstance(event, Ended)), len(due))
        if self._counts_are_due(due, ends):
            # All that is said has to be through before it is measured.
            given = self._watched(self._encoder.feed(due[:ends]))
            due = due[ends:] if self.estimate is None else [as_told(self.estimate(self)), *due[ends:]]
        given += self._watched(self._encoder.feed(due))
        for event in events:
            match event:
                case UsageTold(usage=told):
                    self._count(told, begins=isinstance(events[0], Started))
                case Failed():
                    given += self._break("reported an error while it was answering")
                case Ended():
                    self.done = True
                case _:
                    pass
        return given

    def _counts_are_due(self, due: Sequence[AnyEvent], ends: int) -> bool:
        """Whether the stream ends here, for a client that is due counts, and its target told none."""
        told = self.usage is not None or any(isinstance(event, UsageTold) for event in due)
        return ends < len(due) and not told and self._translation.demands_counts

    def _count(self, told: canonical.Usage, *, begins: bool) -> None:
        usage = counts_of(told)
        if begins and not self.deltas:
            # What a target counts before it has said anything is the prompt; a figure for the output means nothing yet.
            usage = Usage(input=usage.input, cached_input=usage.cached_input, cache_write=usage.cache_write)
        self.usage = usage
        self._counted = self._watch.said

    def _break(self, what: str) -> bytes:
        """Ends the stream with an error: what follows cannot make it whole."""
        self.done = self.failed = True
        origin = self._translation.destination.origin
        return self.fail(UpstreamError(f"The target '{origin.target}' {what}."), self.request_id)

    def _watched(self, told: bytes) -> bytes:
        """What the client's own tap lets through of whole events, as if they were its target's."""
        given: list[bytes] = []
        watch = self._watch
        for event in self._splitter.feed(told) if told else ():
            data = event_data(event)
            kept = None if data is None else watch.feed(data)
            if data is None or kept is data:
                given.append(event)
            elif kept is not None:
                given.append(watch.frame(kept))
        self.deltas, self.id = watch.deltas, watch.id
        return b"".join(given)
