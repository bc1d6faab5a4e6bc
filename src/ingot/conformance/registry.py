"""All rows of the suite in their order; none is there twice."""

from typing import Final

from ingot.conformance.record import Row
from ingot.conformance.rows import (
    answers,
    aurora,
    batches,
    chat,
    clients,
    contradictions,
    documentation,
    fields,
    messages,
    metask,
    pages,
    reference,
    responses,
    valley,
    wire,
)

ROWS: Final[tuple[Row, ...]] = (
    *valley.ROWS,
    *aurora.ROWS,
    *metask.ROWS,
    *reference.ROWS,
    *chat.ROWS,
    *responses.ROWS,
    *messages.ROWS,
    *batches.ROWS,
    *documentation.ROWS,
    *contradictions.ROWS,
    *clients.ROWS,
    *wire.ROWS,
    *fields.ROWS,
    *answers.ROWS,
    *pages.ROWS,
)


def rows_for(preset: str) -> tuple[Row, ...]:
    """The rows that a preset owns."""
    return tuple(row for row in ROWS if preset in row.checks)


def known(row_id: str) -> bool:
    """Whether there is such a row."""
    return any(row.id == row_id for row in ROWS)
