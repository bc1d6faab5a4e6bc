"""Seals of a target's thoughts, as clients of responses carry them: `encrypted_content` that only we can open.

    a target's signature  --sealed-->  encrypted content of ours  --opened-->  the same signature, with its maker's name

Sealed for the organization that asked, with the target inside: what comes back goes to that target alone, in its own
dialect, for so the codecs send thoughts. Refuses to know keys and stores.
"""

import msgspec
from msgspec.structs import replace

from ingot.canonical import Answer, DialectName, Origin, Output, Reasoning, Request, Seal, Turn
from ingot.dialects.dialect import Stamp
from ingot.dialects.responses_state import MARK
from ingot.errors import InvalidRequest
from ingot.events import AnyEvent, PartStarted, Sealed

WISH = "reasoning.encrypted_content"


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    dialect: DialectName
    target: str
    seal: Seal


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Kept).decode


class Sealer(msgspec.Struct, frozen=True):
    """Seals the thoughts of one answer."""

    stamp: Stamp
    origin: Origin

    def answer(self, answer: Answer) -> Answer:
        """The answer with seals of ours."""
        return replace(answer, outputs=tuple([self._output(output) for output in answer.outputs]))

    def event(self, event: AnyEvent) -> AnyEvent:
        """The event with a seal of ours, where it tells one."""
        if isinstance(event, Sealed):
            return replace(event, seal=self._seal(event.seal))
        if isinstance(event, PartStarted) and isinstance(event.value, Reasoning):
            return replace(event, value=self._part(event.value))
        return event

    def _output(self, output: Output) -> Output:
        parts = [self._part(part) if isinstance(part, Reasoning) else part for part in output.parts]
        return replace(output, parts=tuple(parts))

    def _part(self, part: Reasoning) -> Reasoning:
        return part if part.seal is None else replace(part, seal=self._seal(part.seal))

    def _seal(self, seal: Seal) -> Seal:
        kept = _encode(_Kept(self.origin.dialect, self.origin.target, seal))
        sealed = self.stamp.seal_thoughts
        return seal if sealed is None else Seal("encrypted", sealed(kept))


def sealer(stamp: Stamp | None, origin: Origin) -> Sealer | None:
    """What seals the thoughts of an answer of this target; None where its client did not ask for them."""
    wished = stamp is not None and WISH in (stamp.asked.value.get("include") or ())
    if stamp is None or not wished or origin.dialect == "responses":
        return None
    return Sealer(stamp, origin)


def opened(request: Request, stamp: Stamp | None) -> Request:
    """The request with the thoughts that we sealed as their maker's; raises InvalidRequest."""
    if stamp is None or not any(_is_ours(part) for turn in request.turns for part in turn.parts):
        return request
    return replace(request, turns=tuple([_opened(turn, stamp) for turn in request.turns]))


def _is_ours(part: object) -> bool:
    return isinstance(part, Reasoning) and part.seal is not None and part.seal.data.startswith(MARK)


def _opened(turn: Turn, stamp: Stamp) -> Turn:
    parts = [
        _as_made(part, stamp, turn.at) if isinstance(part, Reasoning) and _is_ours(part) else part
        for part in turn.parts
    ]
    return replace(turn, parts=tuple(parts))


def _as_made(part: Reasoning, stamp: Stamp, at: str) -> Reasoning:
    try:
        if stamp.open_thoughts is None or part.seal is None:
            return part
        kept = _decode(stamp.open_thoughts(part.seal.data))
    except ValueError as error:
        raise InvalidRequest(
            f"The encrypted content of the reasoning at '{at}' could not be verified: it was changed, or another "
            "organization's request made it.",
            param=at,
            code="invalid_encrypted_content",
        ) from error
    return replace(part, origin=Origin(kept.dialect, kept.target), seal=kept.seal)
