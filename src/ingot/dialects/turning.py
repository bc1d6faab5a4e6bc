"""Answers that come back otherwise than the client asked, and are turned back: which, whole and streamed."""

from ingot.catalog import Quirks
from ingot.dialects.constitution import RefusalTap, mark_refusals
from ingot.dialects.demanded import CallTap, by_schema, turn_back_call
from ingot.dialects.dialect import Call, Turn
from ingot.dialects.tap import ChatTap
from ingot.dialects.usage import USAGE


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


def make_tap(
    call: Call, *, model: str, public: str, usage: tuple[str, ...] = USAGE, turn: Turn = "none"
) -> ChatTap:
    """The tap on a stream."""
    made = {"none": ChatTap, "call": CallTap, "refusal": RefusalTap}[turn]
    return made(call, model=model, public=public, usage=usage)
