"""What a row of the suite is, and how trying it ends."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from ingot.conformance.subject import Subject

Check = Callable[[Subject], Awaitable[None]]
"""Tries a row against a server; raises Failed or Skipped, and returns where the row holds."""

Result = Literal["pass", "fail", "skip"]

ALL: Final = ("open", "valley", "aurora", "aurora-v2", "metask", "valar")
AURORA: Final = ("aurora", "aurora-v2")


class Failed(Exception):
    """The server does something else than the row says."""

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(f"expected {expected}, but saw {seen}")
        self.expected = expected
        self.seen = seen


class Skipped(Exception):
    """The row cannot be tried here; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Row:
    """One rule: what it says, and by preset how to find out; `needs` names surfaces without which it means nothing."""

    id: str
    says: str
    checks: Mapping[str, Check]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one row under one preset; `reason` says why it was skipped."""

    id: str
    preset: str
    says: str
    result: Result
    expected: str = ""
    seen: str = ""
    reason: str = ""


Presets = str | tuple[str, ...]


def row(id: str, presets: Presets, says: str, check: Check, *, needs: tuple[str, ...] = ()) -> Row:  # noqa: A002  # the field's name
    """A row that is tried in the same way under each of its presets."""
    names = (presets,) if isinstance(presets, str) else presets
    return Row(id, says, dict.fromkeys(names, check), needs)
