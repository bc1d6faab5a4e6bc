"""`/v1/conversations` on the wire.

    POST                   /v1/conversations
    GET, POST, DELETE      /v1/conversations/{id}
    GET, POST              /v1/conversations/{id}/items
    GET, DELETE            /v1/conversations/{id}/items/{item_id}

Reads the query and the body, and lets the two that make something do so once for each Idempotency-Key. Decides nothing
about what is visible. Source: contract §3.
"""

import asyncio
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from ingot import rawjson
from ingot.config import LimitsConfig
from ingot.dialects.conversations import read_body
from ingot.dialects.items import read_include
from ingot.errors import InvalidRequest
from ingot.services.changes import Changes
from ingot.services.conversations import Conversations, ItemsPage
from ingot.store.responses import is_plain
from ingot.web.intake import check_encoding, check_size, read_bounded, too_large
from ingot.web.once import JSON, Caller, make_once
from ingot.web.query import Handler, Pages, check_names, read_limit, read_order, single

PATH = "/v1/conversations"

_INCLUDE = ("include", "include[]")


def pages(conversations: Conversations, *, caller: Caller, changes: Changes, limits: LimitsConfig) -> Pages:
    """The handlers by path and method; a path with more segments stands first."""

    async def create(request: Request) -> Response:
        who = await caller(request)
        body = await _body(request, limits)
        return await make_once(
            changes, request, who, body=body, make=lambda keep: conversations.create(who, body, keep=keep)
        )

    async def read(request: Request) -> Response:
        who = await caller(request)
        return _json(await conversations.read(who, request.path_params["id"]))

    async def update(request: Request) -> Response:
        who = await caller(request)
        body = await _body(request, limits)
        return _json(await conversations.update(who, request.path_params["id"], body))

    async def delete(request: Request) -> Response:
        who = await caller(request)
        return _json(await conversations.delete(who, request.path_params["id"]))

    async def add(request: Request) -> Response:
        who = await caller(request)
        include = _include(request.query_params)
        body = await _body(request, limits)
        which = request.path_params["id"]
        return await make_once(
            changes,
            request,
            who,
            body=body,
            make=lambda keep: conversations.add(who, which, body, include=include, keep=keep),
        )

    async def items(request: Request) -> Response:
        who = await caller(request)
        page = _page(request.query_params)
        return _json(await conversations.items(who, request.path_params["id"], page))

    async def item(request: Request) -> Response:
        who = await caller(request)
        include = _include(request.query_params)
        where = request.path_params
        return _json(await conversations.item(who, where["id"], where["item_id"], include=include))

    async def delete_item(request: Request) -> Response:
        who = await caller(request)
        where = request.path_params
        return _json(await conversations.delete_item(who, where["id"], where["item_id"]))

    one: dict[str, Handler] = {"GET": read, "POST": update, "DELETE": delete}
    return {
        PATH: {"POST": create},
        f"{PATH}/{{id}}/items/{{item_id}}": {"GET": item, "DELETE": delete_item},
        f"{PATH}/{{id}}/items": {"GET": items, "POST": add},
        f"{PATH}/{{id}}": one,
    }


def _page(query: QueryParams) -> ItemsPage:
    include = _include(query)
    once = single(QueryParams([pair for pair in query.multi_items() if pair[0] not in _INCLUDE]))
    check_names(once, ("after", "limit", "order", "include[]"))
    after = once.get("after")
    if after is not None and not is_plain(after):
        raise InvalidRequest("'after' is empty, too long or no text.", param="after")
    return ItemsPage(
        after=after,
        limit=read_limit(once, default=20, most=100),
        descending=read_order(once, default="desc"),
        include=include,
    )


def _include(query: QueryParams) -> frozenset[str]:
    return read_include([value for name, value in query.multi_items() if name in _INCLUDE])


async def _body(request: Request, limits: LimitsConfig) -> dict[str, Any]:
    check_encoding({name.lower(): value for name, value in request.headers.raw})
    body = await read_bounded(request, max(limits.body_bytes, limits.image_body_bytes), refuse=too_large)
    check_size(body, limits)
    if rawjson.large(body):
        return await asyncio.get_running_loop().run_in_executor(None, read_body, body)
    return read_body(body)


def _json(body: bytes) -> Response:
    return Response(body, media_type=JSON)
