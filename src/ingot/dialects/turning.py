"""Answers that come back otherwise than the client asked, and are turned back: which, whole and streamed."""

from collections.abc import Callable, Mapping
from typing import Final

from ingot.catalog import Quirks
from ingot.dialects.constitution import RefusalTap, mark_refusals
from ingot.dialects.demanded import CallTap, by_schema, turn_back_call
from ingot.dialects.dialect import AS_IT_IS, Call, MakeTap, Reshape, StreamTap, Turn
from ingot.dialects.envelope import EncodeError
from ingot.dialects.tap import ChatTap
from ingot.dialects.usage import USAGE
from ingot.sse import encode_event

CALLED: Final = Turn("call")


def turn_of(call: Call, quirks: Quirks, mark: str | None) -> Turn:
    """What has to be done to an answer; a demanded call cannot be refused."""
    if by_schema(call, quirks):
        return CALLED
    return refused_by(call, quirks, mark)


def refused_by(call: Call, quirks: Quirks, mark: str | None) -> Turn:  # noqa: ARG001  # the dialects' signature
    """The same where calls come as they were asked for."""
    return AS_IT_IS if mark is None else Turn("refusal", mark)


def turn_back(answer: bytes, turn: Turn) -> bytes:
    """A whole answer as the client asked for it; raises ValueError where it is no JSON object."""
    if turn.kind == "call":
        return turn_back_call(answer)
    return mark_refusals(answer, turn.mark) if turn.kind == "refusal" else answer


class Taps:
    """The taps on the streams of a dialect, one for each way in which a stream is turned back."""

    __slots__ = ("_by_kind", "_frame")

    def __init__(self, by_kind: Mapping[str, MakeTap], *, frame: Callable[[bytes], bytes]) -> None:
        self._by_kind = by_kind
        self._frame = frame

    def frame(self, data: bytes, /) -> bytes:
        """Data of ours as an event of such a stream."""
        return self._frame(data)

    def __call__(
        self,
        call: Call,
        /,
        *,
        model: str,
        public: str,
        usage: tuple[str, ...] = USAGE,
        turn: Turn = AS_IT_IS,
    ) -> StreamTap:
        """The tap on a stream."""
        return self._by_kind[turn.kind](call, model=model, public=public, usage=usage, turn=turn)

    def dressed(self, encode: EncodeError, reshape: Reshape | None = None, /) -> "Taps":
        """The taps in which our errors look as `encode` has them."""
        by_kind = {kind: tap.dressed(encode, reshape) for kind, tap in self._by_kind.items()}
        return Taps(by_kind, frame=self._frame)


TAPS = Taps({"none": ChatTap, "call": CallTap, "refusal": RefusalTap}, frame=encode_event)
