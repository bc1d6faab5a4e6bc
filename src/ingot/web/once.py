"""What a resource makes, made once for all requests with the same Idempotency-Key."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from ingot.idempotency import HEADER, REPLAYED, read_key
from ingot.services.changes import Changes, Scope, Told, Wish
from ingot.services.keeping import Keep, keep_nothing
from ingot.services.keys import Principal

JSON = "application/json"

Caller = Callable[[Request], Awaitable[Principal]]
"""Who a request acts for; raises where nobody may ask."""

Make = Callable[[Keep[bytes]], Awaitable[bytes]]
"""Makes it, and gives what is told of it as JSON."""


async def make_once(
    changes: Changes, request: Request, who: Principal, *, body: Mapping[str, Any], make: Make
) -> Response:
    """What `make` tells, now or at the first time; `body` is what has to be the same for a retry."""
    key = read_key([value.encode("latin-1") for value in request.headers.getlist(HEADER)])
    if key is None:
        return Response(await make(keep_nothing), media_type=JSON)

    async def work(keep: Keep[Told]) -> Told:
        def store(conn: Connection, made: bytes) -> None:
            keep(conn, Told(200, made))

        return Told(200, await make(store))

    scope = Scope(who.org_id, who.key_id)
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    told = await changes.make(Wish(scope, key, "POST", path, body), work)
    response = Response(told.body, media_type=JSON)
    if told.replayed:
        name, _, value = REPLAYED.decode().strip().partition(": ")
        response.headers[name] = value
    return response
