"""Answers that come back otherwise than the client asked, and are turned back: which, whole and streamed."""

from collections.abc import Mapping

from ingot.catalog import Quirks
from ingot.dialects.constitution import RefusalTap, mark_refusals
from ingot.dialects.demanded import CallTap, by_schema, turn_back_call
from ingot.dialects.dialect import Call, Reshape, Turn
from ingot.dialects.envelope import EncodeError
from ingot.dialects.tap import ChatTap
from ingot.dialects.usage import USAGE
from ingot.sse import encode_event


def turn_of(call: Call, quirks: Quirks, principled: bool) -> Turn:  # noqa: FBT001  # the dialects' signature
    """What has to be done to an answer; a demanded call cannot be refused."""
    if by_schema(call, quirks):
        return "call"
    return "refusal" if principled else "none"


def turn_back(answer: bytes, turn: Turn) -> bytes:
    """A whole answer as the client asked for it; raises ValueError where it is no JSON object."""
    if turn == "call":
        return turn_back_call(answer)
    return mark_refusals(answer) if turn == "refusal" else answer


def never_turned(call: Call, quirks: Quirks, principled: bool) -> Turn:  # noqa: ARG001, FBT001  # the dialects' signature
    """For dialects whose answers come as they were asked for."""
    return "none"


def leave_answer(answer: bytes, turn: Turn) -> bytes:  # noqa: ARG001  # the dialects' signature
    """The answer itself."""
    return answer


class Taps:
    """The taps on chat streams, one for each way in which a stream is turned back."""

    __slots__ = ("_by_turn",)

    frame = staticmethod(encode_event)

    def __init__(self, by_turn: Mapping[Turn, type[ChatTap]]) -> None:
        self._by_turn = by_turn

    def __call__(
        self,
        call: Call,
        /,
        *,
        model: str,
        public: str,
        usage: tuple[str, ...] = USAGE,
        turn: Turn = "none",
    ) -> ChatTap:
        """The tap on a stream."""
        return self._by_turn[turn](call, model=model, public=public, usage=usage)

    def dressed(self, encode: EncodeError, reshape: Reshape | None = None, /) -> "Taps":
        """The taps in which our errors look as `encode` has them."""
        return Taps({turn: tap.dressed(encode, reshape) for turn, tap in self._by_turn.items()})


TAPS = Taps({"none": ChatTap, "call": CallTap, "refusal": RefusalTap})
