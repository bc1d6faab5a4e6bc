"""`/v1/quotes` and `/v1/windows` on the wire.

    POST    /v1/quotes      a price and a time for a body of any surface, or for a batch
    GET     /v1/windows     the completion windows, and how often each was kept

A body goes to disk as it comes, like a batch's: it may hold as many requests. What is asked and told is the services'.
"""

from collections.abc import Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from ingot.dialects import quotes as wire
from ingot.dialects.dialect import Dialect
from ingot.services.files import Files
from ingot.services.grants import deployments_for
from ingot.services.hitrates import HitRates
from ingot.services.quotedesk import QuoteDesk
from ingot.services.runtime import Runtime
from ingot.web.once import JSON, Caller
from ingot.web.query import Pages
from ingot.web.spool import spooled

PATH: Final = "/v1/quotes"
WINDOWS: Final = "/v1/windows"

Runtimes = Callable[[], Runtime]
"""The runtime of now: a reload replaces it."""


def pages(
    runtime: Runtimes,
    dialects: Mapping[str, Dialect],
    batched: Mapping[str, Dialect],
    *,
    files: Files,
    caller: Caller,
) -> Pages:
    """The handler of quotes; `dialects` are those that are asked, `batched` those that batches are for, by their paths."""

    async def create(request: Request) -> Response:
        who = await caller(request)
        now = runtime()
        head = now.config.limits.image_body_bytes
        async with spooled(request, files, now.config.batches, head=head) as spool:
            inline = spool.count is not None
            asked = wire.decode(spool.value, inline=inline)
            desk = QuoteDesk(now, who, files, dialects, batched)
            told = await desk.answer(asked, spool.draft, inline=inline, headers=dict(request.headers.raw))
        return Response(wire.encode(told), media_type=JSON)

    return {PATH: {"POST": create}}


def window_pages(runtime: Runtimes, rates: HitRates, *, caller: Caller) -> Pages:
    """The handler of windows."""

    async def windows(request: Request) -> Response:
        who = await caller(request)
        now = runtime()
        listed = deployments_for(now.catalog, who.grant)
        return Response(wire.encode(await rates.read(now.catalog.windows, listed)), media_type=JSON)

    return {WINDOWS: {"GET": windows}}
