"""The mark that a refusal under a constitution begins with, which no client sees: who has it, and what is left without it.

    refusal_in    of a whole text
    Opening       of a text that comes in pieces: its beginning is held until it tells
    Unmarked      of the tokens that a text is made of

Space in front of the mark and behind it goes with it. Refuses to know any wire format.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

Token = TypeVar("Token")


def refusal_in(text: str, mark: str) -> str | None:
    """The words of a refusal; None where the text is none."""
    begun = text.lstrip()
    return begun[len(mark) :].lstrip() if begun.startswith(mark) else None


class Opening:
    """Follows one text: `refuses` is None until its first characters tell, and `held` has them until then."""

    __slots__ = ("_begun", "_mark", "held", "refuses")

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._begun = False
        self.held = ""
        self.refuses: bool | None = None

    def feed(self, piece: str) -> str | None:
        """What is due of the text with one more piece of it, of a refusal its own words; None while it does not tell."""
        if self.refuses is None:
            self.held += piece
            begun = self.held.lstrip()
            if begun.startswith(self._mark):
                self.refuses, self.held = True, ""
                piece = begun[len(self._mark) :]
            else:
                return None if self._mark.startswith(begun) else self.settle()
        if self.refuses and not self._begun:
            piece = piece.lstrip()
            self._begun = bool(piece)
        return piece

    def settle(self) -> str:
        """What was held of a text that did not become a refusal before it ended."""
        if self.refuses is None:
            self.refuses = False
        held, self.held = self.held, ""
        return held


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
