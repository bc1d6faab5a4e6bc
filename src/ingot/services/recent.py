"""Responses that nobody stores, for as long as the connection lives that asked for them: it alone can go on from one.

Bounded by their bytes: the oldest goes first. Each is kept as the store would have it, so that a chain is read the same way
wherever its links are. Knows no connection.
"""

from ingot.dialects import responses_fold, responses_state
from ingot.dialects.fold import Unfoldable
from ingot.dialects.responses import RESPONSES
from ingot.store.responses import Exchange, Head

NO_END = 2**62
"""An instant that does not come: the connection ends before."""


class Recent:
    """The responses of one connection by their ids; read from other threads too."""

    def __init__(self, *, most: int) -> None:
        """`most` are the bytes of all together."""
        self._most = most
        self._held: dict[str, Exchange] = {}
        self._size = 0

    def get(self, response_id: str) -> Exchange | None:
        """The response, as the store would tell it."""
        return self._held.get(response_id)

    def keep(self, response_id: str, *, request: bytes, answer: bytes, target: str, created_at: int) -> None:
        """Takes a response that was not stored; the oldest goes where there is no room."""
        self.forget(response_id)
        head = Head(
            id=response_id,
            public_id=response_id,
            surface=RESPONSES.name,
            state="completed",
            kept=True,
            created_at=created_at,
            expires_at=NO_END,
            metadata={},
        )
        self._held[response_id] = Exchange(head, target, request, answer)
        self._size += len(request) + len(answer)
        while self._size > self._most:
            self.forget(next(iter(self._held)))

    def forget(self, response_id: str) -> None:
        """From now on nothing goes on from it."""
        gone = self._held.pop(response_id, None)
        if gone is not None:
            self._size -= len(gone.request or b"") + len(gone.answer or b"")


def whole_answer(stream: bytes) -> tuple[str, bytes] | None:
    """The response that a stream spelled out, and its id; None where it cannot be gone on from."""
    try:
        answer = responses_fold.assemble(stream)
        name, status = responses_state.id_of(answer), responses_state.status_of(answer)
    except (Unfoldable, ValueError):
        return None
    return None if name is None or status not in responses_state.GOES_ON else (name, answer)
