"""Places in a request as its client wrote it, where earlier responses were put before its own items.

    input[7].content[0]  -->  input[1].content[0], or previous_response_id where it is not the client's own

Errors and losses name places; which one is whose is the dialect's to say.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from ingot.canonical import Loss, Losses, NativePart, Request
from ingot.dialects.dialect import Call, Dialect
from ingot.errors import ClientError


@contextmanager
def own_places(dialect: Dialect, call: Call) -> Iterator[None]:
    """What is raised inside names places of the client's own body."""
    try:
        yield
    except ClientError as error:
        if call.composed and dialect.own_place is not None and error.param:
            place = dialect.own_place(error.param, call)
            error.message = error.message.replace(f"'{error.param}'", f"'{place}'")
            error.param = place
        raise


def own_losses(losses: Losses, dialect: Dialect, call: Call) -> Losses:
    """The losses with places of the client's own body."""
    if not call.composed or dialect.own_place is None:
        return losses
    return tuple(Loss(dialect.own_place(loss.path, call), loss.reason, loss.filled) for loss in losses)


def asks_something(request: Request, spoken: str) -> bool:
    """Whether anything is left of the request for a target that speaks another dialect than the client."""
    parts = [part for turn in request.turns for part in turn.parts]
    return not parts or any(not isinstance(part, NativePart) or part.dialect == spoken for part in parts)
