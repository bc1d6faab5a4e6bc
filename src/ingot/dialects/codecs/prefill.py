"""A last turn of the assistant: `messages` continues its words, the other dialects answer it.

Decides what is told of it. Refuses to know how turns are written.
"""

from ingot.canonical import DialectName, Loss, Request, Text

_ANSWERED = "the {} dialect does not continue a last turn of the assistant, but answers it as an earlier one"
_CONTINUED = "a last turn of the assistant is continued by targets of the messages dialect, not answered"
_THINKS = "a last turn of the assistant is continued by targets of the messages dialect, which none does that thinks"


def prefilled(request: Request, to: DialectName, *, thinks: bool = False) -> list[Loss]:
    """What another dialect makes of words that the request ends with; that an answer shall go on from them may change it."""
    last = request.turns[-1] if request.turns else None
    if (
        last is None
        or last.role != "assistant"
        or not any(isinstance(part, Text) for part in last.parts[-1:])
    ):
        return []
    if request.origin == "messages":
        return [Loss(last.at, "part", _ANSWERED.format(to))] if to != "messages" else []
    if to != "messages":
        return []
    return [Loss(last.at, "part", _THINKS) if thinks else Loss(last.at, "earlier_answer", _CONTINUED)]
