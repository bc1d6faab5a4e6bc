"""`/v1/webhook_endpoints` and `/v1/webhook_event_types` on the wire.

    GET, POST            /v1/webhook_endpoints
    GET, POST, DELETE    /v1/webhook_endpoints/{id}
    POST                 /v1/webhook_endpoints/{id}/rotate_secret, /test
    GET                  /v1/webhook_event_types

Reads queries and bodies. What is made or changed is so once for each Idempotency-Key. Source: contract §5.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ingot import rawjson
from ingot.dialects import webhooks as wire
from ingot.services.changes import Changes
from ingot.services.webhooks.endpoints import Endpoints
from ingot.web.intake import read_bounded
from ingot.web.once import JSON, Caller, make_once
from ingot.web.query import Handler, Pages, check_names, read_limit, read_word, single

PATH = "/v1/webhook_endpoints"
TYPES_PATH = "/v1/webhook_event_types"
BODY_BYTES = 64 * 1024


def pages(endpoints: Endpoints, *, caller: Caller, changes: Changes) -> Pages:
    """The handlers by path and method; a path with more segments stands first."""

    async def create(request: Request) -> Response:
        who = await caller(request)
        body = await _body(request)
        wanted = wire.decode_create(body)
        return await make_once(
            changes, request, who, body=body, make=lambda keep: endpoints.create(who, wanted, keep=keep)
        )

    async def list_endpoints(request: Request) -> Response:
        who = await caller(request)
        query = single(request.query_params)
        check_names(query, ("after", "limit"))
        limit = read_limit(query, default=20, most=100)
        return _json(await endpoints.list(who.org_id, after=read_word(query, "after"), limit=limit))

    async def read(request: Request) -> Response:
        return _json(await endpoints.read((await caller(request)).org_id, request.path_params["id"]))

    async def delete(request: Request) -> Response:
        return _json(await endpoints.delete(await caller(request), request.path_params["id"]))

    async def test(request: Request) -> Response:
        who = await caller(request)
        wanted = wire.decode_test(await _body(request))
        return _json(await endpoints.test(who, request.path_params["id"], wanted))

    async def types(request: Request) -> Response:
        await caller(request)
        return _json(wire.encode(wire.TypeList()))

    update, rotate = _changing(endpoints, caller, changes)
    one: dict[str, Handler] = {"GET": read, "POST": update, "DELETE": delete}
    return {
        PATH: {"GET": list_endpoints, "POST": create},
        f"{PATH}/{{id}}/rotate_secret": {"POST": rotate},
        f"{PATH}/{{id}}/test": {"POST": test},
        f"{PATH}/{{id}}": one,
        TYPES_PATH: {"GET": types},
    }


def _changing(endpoints: Endpoints, caller: Caller, changes: Changes) -> tuple[Handler, Handler]:
    async def update(request: Request) -> Response:
        who, which = await caller(request), request.path_params["id"]
        body = await _body(request)
        wanted = wire.decode_update(body)
        return await make_once(
            changes,
            request,
            who,
            body=body,
            make=lambda keep: endpoints.update(who, which, wanted, keep=keep),
        )

    async def rotate(request: Request) -> Response:
        who, which = await caller(request), request.path_params["id"]
        body = await _body(request)
        wanted = wire.decode_rotation(body)
        return await make_once(
            changes,
            request,
            who,
            body=body,
            make=lambda keep: endpoints.rotate(who, which, wanted, keep=keep),
        )

    return update, rotate


async def _body(request: Request) -> dict[str, Any]:
    return rawjson.parse(await read_bounded(request, BODY_BYTES) or b"{}").value


def _json(body: bytes) -> Response:
    return Response(body, media_type=JSON)
