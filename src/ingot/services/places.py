"""Places in a request as its client wrote it, where earlier responses were put before its own items.

    input[7].content[0]  -->  input[1].content[0], or previous_response_id where it is not the client's own

Errors and losses name places; which one is whose is the dialect's to say.
"""

from types import TracebackType

from msgspec.structs import replace

from ingot.canonical import Losses
from ingot.dialects.dialect import Call, Dialect
from ingot.errors import ClientError


class own_places:  # noqa: N801  # read as the word that it is: `with own_places(...)`
    """What is raised inside names places of the client's own body."""

    # No generator: every request passes here twice (measured: 0.3 us instead of 1.2).
    __slots__ = ("_call", "_dialect")

    def __init__(self, dialect: Dialect, call: Call) -> None:
        self._dialect = dialect
        self._call = call

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Renames the place, and lets the error go on."""
        if not isinstance(error, ClientError) or not error.param:
            return
        if self._call.composed and self._dialect.own_place is not None:
            place = self._dialect.own_place(error.param, self._call)
            error.message = error.message.replace(f"'{error.param}'", f"'{place}'")
            error.param = place


def own_losses(losses: Losses, dialect: Dialect, call: Call) -> Losses:
    """The losses with places of the client's own body."""
    if not call.composed or dialect.own_place is None:
        return losses
    return tuple(replace(loss, path=dialect.own_place(loss.path, call)) for loss in losses)
