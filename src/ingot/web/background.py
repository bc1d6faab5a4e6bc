"""Responses in the background by their id: read, cancelled and deleted, beside whatever else a surface offers under that path.

    GET, DELETE    /v1/chat/completions/{id}    /v1/messages/{id}    /v1/responses/{id}
    POST           .../{id}/cancel

Decides nothing about what is visible; an id of another kind is the surface's own to answer.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ingot.errors import NotFound
from ingot.web.query import Handler, Organization, Pages, read_number, single, without

JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"
PATHS = {
    "chat": "/v1/chat/completions/{id:path}",
    "messages": "/v1/messages/{id}",
    "responses": "/v1/responses/{id}",
}
"""By surface."""

Look = Callable[[str, str], Awaitable[bytes | None]]
"""Of an organization's response by its id; None where there is none in the background."""


class Records(Protocol):
    """The responses in the background of one surface; bodies are JSON."""

    @property
    def surface(self) -> str: ...

    async def read(self, org_id: str, which: str) -> bytes | None: ...
    async def stream(self, org_id: str, which: str, *, after: int | None) -> AsyncIterator[bytes] | None: ...
    async def cancel(self, org_id: str, which: str) -> bytes | None: ...
    async def delete(self, org_id: str, which: str) -> bytes | None: ...
    def missing(self, which: str) -> NotFound: ...


def joined(pages: Pages, background: Records, *, organization: Organization, ends: bool = True) -> Pages:
    """The pages with those of one surface's responses in the background, which are looked for first.

    `ends` says whether clients may cancel and delete.
    """
    path = PATHS[background.surface]
    ending = f"{path}/cancel"
    own = pages.get(path, {})
    read = _first(background.read, own.get("GET"), background, organization=organization)
    one = own | {"GET": _streaming(read, background, organization=organization)}
    if not ends:
        return pages | {path: one}
    one["DELETE"] = _first(background.delete, own.get("DELETE"), background, organization=organization)
    before = pages.get(ending, {}).get("POST")
    cancel = _first(background.cancel, before, background, organization=organization)
    rest = {each: handlers for each, handlers in pages.items() if each not in (path, ending)}
    # The longer path stands first, or the shorter one would take it.
    return {ending: {"POST": cancel}, **rest, path: one}


def _streaming(read: Handler, background: Records, *, organization: Organization) -> Handler:
    """`read`, but for who asks for the stream of one that is streamed."""

    async def handle(request: Request) -> Response:
        query = request.query_params
        if query.get("stream") != "true":
            return await read(request)
        after = read_number(single(without(query, "include")).get("starting_after"))
        found = await background.stream(await organization(request), request.path_params["id"], after=after)
        return await read(request) if found is None else StreamingResponse(found, media_type=EVENTS)

    return handle


def _first(look: Look, other: Handler | None, background: Records, *, organization: Organization) -> Handler:
    async def handle(request: Request) -> Response:
        which = request.path_params["id"]
        found = await look(await organization(request), which)
        if found is not None:
            return Response(found, media_type=JSON)
        if other is None:
            raise background.missing(which)
        return await other(request)

    return handle
