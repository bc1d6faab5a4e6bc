"""What a check of the database finds, and how checks read: in pages, on one snapshot."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

PAGE: Final = 2_000
"""Rows of one read, so that memory stays bounded whatever the table's size."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not agree: which check found it, about which id, and what is wrong."""

    check: str
    subject: str
    detail: str


Check = Callable[[Connection], Iterator[Finding]]
