"""The tap on a stream of a response: what each event becomes, and what the stream said of itself.

    response.created, .in_progress --stamped--> response.output_* --as they are--> response.completed --stamped, usage-->

Every event has a number of its own, so that none has the frame of another: each is looked at (1 us), and only those that
hold the response are changed. An error of the upstream is replaced by ours, and nothing follows it. Knows no transport.
"""

import contextlib
import re
from typing import Any, Final

import msgspec
from msgspec import Raw

from ingot import rawjson
from ingot.dialects.cuts import load, mend_all
from ingot.dialects.dialect import Turn
from ingot.dialects.envelope import USUAL, encoder
from ingot.dialects.responses_errors import error_data, failed_error
from ingot.dialects.responses_fold import BEGINS, ENDS, Assembly
from ingot.dialects.responses_stamp import stamp_response
from ingot.dialects.responses_usage import usage_at
from ingot.dialects.taps import Tap, naming
from ingot.dialects.wordage import length_of, length_of_items
from ingot.errors import ApiError, UpstreamError
from ingot.sse import DONE, one_line

Json = dict[str, Any]

_NAME: Final = re.compile(r"[a-z_.]{1,100}")
_FAILED: Final = "response.failed"
_ADDED: Final = "response.output_item.added"
_NO_TOKENS: Final = (b"", b"null", b"[]")
_TOLD: Final = "The upstream reported an error while it was answering."

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class _Event(msgspec.Struct):
    """What is looked at of an event."""

    type: str = ""
    sequence_number: Any = None
    delta: Any = None
    response: Raw = Raw(b"")
    error: Any = None
    item: Any = None
    item_id: Any = None
    output_index: Any = None
    content_index: Any = None
    summary_index: Any = None
    logprobs: Raw = Raw(b"")


_event = msgspec.json.Decoder(_Event)
_tokens = msgspec.json.Decoder(list[Raw])


class _Run:
    """Pieces of one text that came one after the other, of which a replay makes one event."""

    __slots__ = ("first", "place", "texts", "tokens")

    def __init__(self, first: bytes, place: tuple[Any, ...]) -> None:
        self.first = first
        self.place = place
        self.texts: list[str] = []
        self.tokens: list[Raw] = []

    def whole(self) -> bytes:
        """One event for all of it."""
        replace = {"delta": _encode("".join(self.texts))}
        if self.tokens:
            replace["logprobs"] = _encode(self.tokens)
        return rawjson.splice_bytes(self.first, replace=replace, drop=("obfuscation",))


named_event = naming(_NAME.fullmatch)


class ResponsesTap(Tap):
    """Follows one stream; see `dialect.StreamTap` for what each attribute says."""

    __slots__ = ("_events", "_following", "_left_out", "_number")

    encode = staticmethod(encoder(USUAL))
    frame = staticmethod(named_event)

    def _begin(self, turn: Turn) -> None:  # noqa: ARG002  # for the tap that turns a stream back
        self._renamed = self._renamed or self._call.stamp is not None
        self._number = -1
        self._left_out = 0
        self._following = None if self.reshape is None else self.reshape.follow()
        self._events: list[bytes | _Run] = []

    @property
    def finished(self) -> bool:
        """Never before its own end, which tells the whole response."""
        return self.done

    @property
    def given(self) -> bytes:
        """What the client was given, in fewer events that are numbered anew."""
        told = [each if type(each) is bytes else each.whole() for each in self._events]  # type: ignore[union-attr]  # a run
        return b"".join([self.frame(_numbered(event, number)) for number, event in enumerate(told)])

    def feed(self, data: bytes) -> bytes | None:
        """What goes to the client: `data` itself where nothing changes, other bytes, or None for nothing."""
        if self.done or data.startswith(DONE):
            return None  # some gateways end every stream as chat does
        try:
            event = _event.decode(data)
        except (ValueError, RecursionError):
            self._keep(data)
            return data  # not ours to mend: the client sees what the upstream wrote
        if (event.type == "error" or event.error) and not self.failed:
            return self._fail(UpstreamError(_TOLD), self.request_id)
        if type(event.sequence_number) is int:
            self._number = event.sequence_number - self._left_out
        if type(event.delta) is str:
            return self._grow(data, event)
        given = data
        if bytes(event.response) and (event.type in BEGINS or event.type in ENDS):
            told = self._take_response(data, event, event.response)
            if told is None:
                return None
            given = told
        elif event.type == _ADDED and type(event.item) is dict and type(event.item.get("name")) is str:
            self.deltas += 1
            self._add(length_of(event.item["name"]))
        told = self._ruled(given)
        if told is not None:
            self._keep(told)
        return told

    def _ruled(self, data: bytes) -> bytes | None:
        """The event as a preset has it; numbers stay without a gap where it leaves some out."""
        if self._following is None:
            return data
        told = self._following.feed(data)
        if told is None:
            self._left_out += 1
            self._number -= 1
            return None
        if self._left_out:
            told = _numbered(told, self._number)
        return told if told is data else one_line(told)

    def fail(self, error: ApiError, request_id: str) -> bytes:
        """The event that ends the stream in place of what would have come."""
        return self.frame(self._fail(error, request_id))

    def _fail(self, error: ApiError, request_id: str) -> bytes:
        number = self._number if self.done and not self.failed else self._number + 1
        if self.done and not self.failed and self._events:
            self._events.pop()  # the end, which was not given
        assembly = Assembly()
        for event in self._events:
            assembly.take(_read(event))
        told = _decode(self.encode(error, request_id)[1])["error"]
        begun = assembly.begun
        if begun is None:
            data = error_data(error, request_id, number=max(number, 0))
        else:
            failure = {**failed_error(error, request_id), "message": told.get("message")}
            response = {**begun, "status": "failed", "output": assembly.output(), "error": failure}
            data = _encode({"type": _FAILED, "response": mend_all(response), "sequence_number": number})
        self.done = self.failed = True
        self._keep(data)
        return data

    def _take_response(self, data: bytes, event: _Event, response: Raw) -> bytes | None:
        """An event that holds the response, with what is ours in it."""
        told = _decode(response)
        if type(told) is not dict:
            return data
        if event.type == _FAILED and not self.failed:
            return self._fail(UpstreamError(_TOLD), self.request_id)
        if event.type in ENDS:
            self.done = True
            self._end(told)
        stamp = self._call.stamp
        self.id = stamp.id if stamp is not None else told.get("id")
        if not self._renamed:
            return data
        inner = stamp_response(bytes(response), self._call, self._public)
        return one_line(rawjson.splice_bytes(data, replace={"response": inner}))

    def _end(self, told: Json) -> None:
        output = told.get("output")
        if not self.deltas and output:
            length = length_of_items(output)
            if length[0]:
                self.deltas += 1
                self._add(length)
        usage = usage_at(told, self._path)
        if usage is not None:
            self.usage = usage
            self._counted = self.said

    def _grow(self, data: bytes, event: _Event) -> bytes | None:
        text = event.delta
        if text:
            self.deltas += 1
            self._add(length_of(text))
        told = self._ruled(data)
        if told is None:
            return None
        if told is not data:
            event = _event.decode(told)
        place = (event.type, event.item_id, event.output_index, event.content_index, event.summary_index)
        run = self._events[-1] if self._events else None
        if not isinstance(run, _Run) or run.place != place:
            run = _Run(one_line(told), place)
            self._events.append(run)
        run.texts.append(text)
        if bytes(event.logprobs) not in _NO_TOKENS:
            with contextlib.suppress(ValueError):
                run.tokens += _tokens.decode(event.logprobs)
        return told

    def _keep(self, data: bytes) -> None:
        self._events.append(one_line(data))


def _read(event: bytes | _Run) -> Json:
    try:
        value = load(event if isinstance(event, bytes) else event.whole())
    except ValueError:
        return {}
    return value if type(value) is dict else {}


def _numbered(data: bytes, number: int) -> bytes:
    try:
        return rawjson.splice_bytes(data, replace={"sequence_number": b"%d" % number})
    except ValueError:
        return data
