"""What pages of lists have in common: their query, read and bounded, and one path that takes several methods.

A name that stands twice is refused by `single`, through which every query goes that anything is read of.
"""

from collections.abc import Awaitable, Callable, Mapping

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from ingot.errors import InvalidRequest, Unsupported
from ingot.rawjson import clip
from ingot.store.responses import is_plain

MOST_DIGITS = 9

Handler = Callable[[Request], Awaitable[Response]]

Organization = Callable[[Request], Awaitable[str]]
"""The id of the organization that a request acts for; raises where nobody may ask."""

Pages = dict[str, dict[str, Handler]]
"""Path, method, handler."""


def single(query: QueryParams) -> QueryParams:
    """A query in which each name stands once; raises InvalidRequest for one that came twice."""
    seen: set[str] = set()
    for name, _ in query.multi_items():
        if name in seen:
            raise InvalidRequest(
                f"'{clip(name)}' came more than once. Send it once: nobody could tell which one counts.",
                param=clip(name),
            )
        seen.add(name)
    return query


def check_names(query: QueryParams, known: tuple[str, ...]) -> None:
    """Raises for a name that would be ignored where that would give somebody the wrong rows."""
    for name in query:
        if name not in known:
            several = f"There are {', '.join(known[:-1])} and {known[-1]}"
            raise Unsupported(
                f"'{clip(name)}' is no parameter here. {several if known[1:] else f'There is {known[0]}'}.",
                param=clip(name),
            )


def read_limit(query: QueryParams, *, default: int, most: int) -> int:
    """How many items a page may hold."""
    text = query.get("limit")
    if text is None:
        return default
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= number <= most:
        raise InvalidRequest(
            f"'limit' must be an integer from 1 to {most}, but got '{clip(text)}'.", param="limit"
        )
    return number


def read_order(query: QueryParams, *, default: str = "asc") -> bool:
    """Whether a list begins with its newest."""
    text = query.get("order", default)
    if text not in {"asc", "desc"}:
        raise InvalidRequest(f"'order' must be 'asc' or 'desc', but got '{clip(text)}'.", param="order")
    return text == "desc"


def read_word(query: QueryParams, name: str) -> str | None:
    """A text that can be an id or a name; None where it is not given."""
    text = query.get(name)
    if text is not None and not is_plain(text):
        raise InvalidRequest(f"'{name}' is empty, too long or no text.", param=name)
    return text


def read_number(told: str | None) -> int | None:
    """The number of the event that a stream goes on behind; None where it is not given."""
    if told is None:
        return None
    if not (told.isascii() and told.isdigit() and len(told) <= MOST_DIGITS):
        raise InvalidRequest(
            f"'starting_after' must be the number of an event, from 0, not '{clip(told)}'.",
            param="starting_after",
        )
    return int(told)


def without(query: QueryParams, *names: str) -> QueryParams:
    """The query without lists that say nothing here: their names stand in it as often as they have members."""
    return QueryParams([pair for pair in query.multi_items() if pair[0].removesuffix("[]") not in names])


def by_method(handlers: Mapping[str, Handler]) -> Handler:
    """One handler for a path, for a route that lists these methods."""

    async def handle(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await handlers[method](request)

    return handle
