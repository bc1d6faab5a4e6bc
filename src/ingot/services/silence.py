"""Whether anything is left of a request for a target that speaks another dialect than its client.

    parts that only the client's dialect knows    nothing, where there are no others
    empty texts at the end                        nothing to a target of messages, which is not sent any

Other losses are told, or refused, before this is asked. Knows no encoding.
"""

from typing import Final

from ingot.canonical import AnyPart, NativePart, Request, Text, Turn, where
from ingot.services.losses import Lossy

_MESSAGES: Final = "messages"
_INSTRUCTIONS: Final = frozenset({"system", "developer"})


def check_asked(request: Request, spoken: str, *, deployment: str) -> None:
    """Raises Lossy where nothing is left to be answered by a target that speaks `spoken`."""
    if not _asks_something(request, spoken):
        field = "input" if request.origin == "responses" else "messages"
        raise Lossy(
            f"Invalid value for '{field}': the model '{deployment}' knows none of what is in it. Send a message beside it.",
            param=field,
            code="invalid_value",
        )
    silent = _silent_end(request) if spoken == _MESSAGES and request.origin != spoken else None
    if silent is not None:
        raise Lossy(
            f"Invalid value for '{silent}': it is empty, and the model '{deployment}' takes no empty message. Say something in "
            "it, or leave it out.",
            param=silent,
            code="invalid_value",
        )


def _asks_something(request: Request, spoken: str) -> bool:
    """Whether anything is left of the request for a target that speaks another dialect than the client."""
    parts = [part for turn in request.turns for part in turn.parts]
    return not parts or any(not isinstance(part, NativePart) or part.dialect == spoken for part in parts)


def _silent_end(request: Request) -> str | None:
    """Where a request ends in empty texts, which targets of messages are not sent, if that leaves them nothing to answer:
    no message at all, or the assistant's own. None where something is left.
    """
    found: str | None = None
    for index in range(len(request.turns) - 1, -1, -1):
        turn = request.turns[index]
        if any(_is_said(part) for part in turn.parts):
            if turn.role == "assistant" or all(
                each.role in _INSTRUCTIONS for each in request.turns[: index + 1]
            ):
                return found
            return None
        if found is None and turn.role != "assistant":
            found = _place(turn)
    return found or (_place(request.turns[-1]) if request.turns else request.place("turns"))


def _is_said(part: AnyPart) -> bool:
    return (
        part.dialect == _MESSAGES
        if isinstance(part, NativePart)
        else not isinstance(part, Text) or part.text != ""
    )


def _place(turn: Turn) -> str:
    return where(turn.at, turn.parts[0].at) if turn.parts else turn.at
