"""Bounds on the JSON schemas of requests, before an engine compiles one of them: 32 KB and 16 levels each."""

from collections.abc import Iterable

import msgspec

from ingot import rawjson
from ingot.errors import InvalidRequest
from ingot.schemas import SCHEMA_BYTES, SCHEMA_DEPTH


def check_schemas(schemas: Iterable[tuple[str, object]], size: int) -> None:
    """Raises InvalidRequest for the first that is out of bounds; each comes with its place, `size` is the body's."""
    for where, schema in schemas:
        # A schema is never larger than its request: most are not measured at all.
        if size > SCHEMA_BYTES and _size(schema) > SCHEMA_BYTES:
            raise InvalidRequest(
                f"'{where}' is too large: at most {SCHEMA_BYTES} bytes of JSON are accepted.",
                param=where,
                code="string_above_max_length",
            )
        if rawjson.deeper_than(SCHEMA_DEPTH, schema):
            raise InvalidRequest(
                f"'{where}' nests too deep: at most {SCHEMA_DEPTH} levels of arrays and objects are accepted.",
                param=where,
            )


def _size(schema: object) -> int:
    return len(schema.encode()) if isinstance(schema, str) else len(msgspec.json.encode(schema))
