"""Log probabilities of a refusal without the tokens that spell its mark, which no client sees, and the space around it."""

from collections.abc import Callable, Iterable
from typing import TypeVar

Token = TypeVar("Token")


class Unmarked:
    """Follows the tokens of one refusal, which may come in pieces; one that runs from the mark into the words goes with it."""

    __slots__ = ("_before", "_mark")

    def __init__(self, mark: str) -> None:
        self._mark = mark
        # What the tokens up to here say; None once the words have begun.
        self._before: str | None = ""

    def feed(self, tokens: Iterable[Token], text_of: Callable[[Token], str]) -> list[Token]:
        """Those of the refusal's own words."""
        return [token for token in tokens if self._before is None or self._begins(text_of(token))]

    def _begins(self, text: str) -> bool:
        before = self._before or ""
        said = (before + text).lstrip()
        if before.startswith(self._mark):
            held = not text.strip()
        else:
            held = self._mark.startswith(said) or said.startswith(self._mark)
        self._before = said if held else None
        return not held
