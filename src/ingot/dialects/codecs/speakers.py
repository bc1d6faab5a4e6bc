"""Names of speakers, for dialects that have none: they tell participants of one role apart.

    several in a role    in front of the words, as in a play: `ada: Hello`
    a sole one           left out, for it tells nobody apart

Decides what becomes of a name. Refuses to know what the words are written into.
"""

from collections import defaultdict

from msgspec.structs import replace

from ingot.canonical import (
    AnyPart,
    Audio,
    DialectName,
    File,
    Image,
    Loss,
    Refusal,
    Request,
    Text,
    Turn,
    where,
)


def introduced(request: Request, to: DialectName) -> tuple[tuple[Turn, ...], list[Loss]]:
    """The turns with names in front of what several speakers of a role said, and what is lost of the names.

    That of a tool's turn stays: it is the name of a call, which the call itself has.
    """
    # Only chat has names.
    if request.origin != "chat" or not any(turn.name is not None for turn in request.turns):
        return request.turns, []
    names: dict[str, set[str | None]] = defaultdict(set)
    for turn in request.turns:
        names[turn.role].add(turn.name)
    several = {role for role, told in names.items() if len(told) > 1}
    turns: list[Turn] = []
    losses: list[Loss] = []
    for turn in request.turns:
        if turn.name is None or turn.role == "tool":
            turns.append(turn)
            continue
        parts = _led(turn.parts, turn.name) if turn.role in several else None
        if parts is not None:
            why = ": it is sent in front of the words"
        elif turn.role in several:
            why = ", and the turn has no words that it could stand in front of"
        else:
            why = ", and a sole one tells nobody apart"
        turns.append(replace(turn, name=None, parts=parts or turn.parts))
        losses.append(
            Loss(where(turn.at, "name"), "speaker", f"the {to} dialect has no names of speakers{why}")
        )
    return tuple(turns), losses


def _led(parts: tuple[AnyPart, ...], name: str) -> tuple[AnyPart, ...] | None:
    """The parts with the name in front of the first that says or shows something; None where none does."""
    for index, part in enumerate(parts):
        if isinstance(part, Text) and part.text:
            return (*parts[:index], replace(part, text=f"{name}: {part.text}"), *parts[index + 1 :])
        if isinstance(part, Refusal | Image | File | Audio):
            return (*parts[:index], Text(f"{name}:", at=part.at), *parts[index:])
    return None
