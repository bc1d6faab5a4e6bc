"""Bodies and queries of the admin API, decoded into the structs that a route names, with errors that help."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct, structs
from starlette.datastructures import QueryParams
from starlette.requests import Request

from ingot.dialects.complaint import complain
from ingot.errors import InvalidRequest, Unsupported
from ingot.pricing import parse_usd
from ingot.rawjson import parse
from ingot.web.intake import read_bounded, too_large
from ingot.web.query import single

LARGEST_BODY = 65_536


async def read_body(request: Request) -> bytes:
    """The whole body; raises TooLarge."""
    return await read_bounded(request, LARGEST_BODY, refuse=too_large)


def decode_body(data: bytes, kind: type[Struct]) -> Any:
    """The body as the route's struct; raises InvalidRequest that names the field."""
    value = parse(data or b"{}").value
    _check_names(value, kind)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise complain(error, value, kind) from error


def decode_query(query: QueryParams, kind: type[Struct]) -> Any:
    """The query as the route's struct, numbers read from their text; raises InvalidRequest."""
    value = dict(single(query))
    _check_names(value, kind)
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise complain(error, value, kind) from error


def _check_names(value: Mapping[str, Any], kind: type[Struct]) -> None:
    known = [each.encode_name for each in structs.fields(kind)]
    for name in value:
        if name not in known:
            raise Unsupported(f"Unknown field: '{name:.80}'. There are: {', '.join(known)}.", param=name[:80])


def refuse_query(query: Mapping[str, str]) -> None:
    """Raises for a query where a route takes none."""
    for name in query:
        raise InvalidRequest(f"This route takes no query, so no '{name:.80}'.", param=name[:80])


def read_usd(text: str, *, param: str) -> int:
    """Units of 1e-12 USD of an amount in USD, as 12.50; raises InvalidRequest that names the field."""
    try:
        return parse_usd(text)
    except ValueError as error:
        raise InvalidRequest(f"{error}.", param=param) from error
