"""Bounds on the JSON schemas and grammars of requests, before an engine compiles one of them: 32 KB and 16 levels each."""

from collections.abc import Iterable

from ingot.dialects.dialect import Schema
from ingot.errors import InvalidRequest
from ingot.schemas import SCHEMA_BYTES, check_schema


def judge_schemas(schemas: Iterable[Schema]) -> InvalidRequest | None:
    """Judges every schema before an engine sees it; what comes back is the fault of a pattern that may be none.

    A pattern that not every engine takes is refused where the schema is demanded. Elsewhere it only describes, and goes on as
    it came, in each dialect alike; llama.cpp alone compiles it there, too.
    """
    loose: InvalidRequest | None = None
    for each in schemas:
        fault = check_schema(each.schema, each.field)
        if fault is not None and each.demanded:
            raise fault
        loose = loose or fault
    return loose


def check_grammar(definition: str, where: str) -> None:
    """Raises InvalidRequest for a grammar that is too large."""
    if len(definition.encode()) > SCHEMA_BYTES:
        raise InvalidRequest(
            f"'{where}' is too large: at most {SCHEMA_BYTES} bytes are accepted.",
            param=where,
            code="string_above_max_length",
        )
