"""Where the answer of an item goes that nobody waits for: it is kept by its record, so that this door forgets it."""


class QuietDoor:
    """Takes a whole answer, and any stream, without a word."""

    def note(self, lines: bytes) -> None:
        """There are no headers."""

    def answer(self, status: int, body: bytes, *, content_type: bytes) -> None:
        """It is in the record."""

    def start(self, status: int, *, content_type: bytes) -> None:
        """Nothing to begin."""

    def write(self, piece: bytes) -> bool:  # noqa: ARG002  # the door's shape
        """Never behind."""
        return False

    async def drain(self) -> None:
        """Never behind."""

    def finish(self) -> None:
        """Nothing to end."""
