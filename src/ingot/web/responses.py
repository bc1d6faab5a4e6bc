"""`/v1/responses` but for its POST: stored responses as OpenAI's clients read, replay, look through and delete them.

    GET, DELETE    /v1/responses/{id}
    GET            /v1/responses/{id}/input_items
    POST           /v1/responses/{id}/cancel

Reads the query; decides nothing about what is visible. Source: contract §3.
"""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ingot.errors import InvalidRequest
from ingot.rawjson import clip
from ingot.services.kept import Responses
from ingot.services.paging import Paging
from ingot.web.query import (
    Handler,
    Organization,
    Pages,
    read_limit,
    read_number,
    read_order,
    read_word,
    single,
    without,
)

JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"
PATH = "/v1/responses"


def pages(responses: Responses, *, organization: Organization, kept: bool) -> Pages:
    """The handlers by path and method; a path with more segments stands first. `kept` offers more than to read one."""

    async def read(request: Request) -> Response:
        org_id = await organization(request)
        query = single(without(request.query_params, "include"))
        which, after = request.path_params["id"], read_number(query.get("starting_after"))
        if _read_flag(query.get("stream")):
            return Response(await responses.replay(org_id, which, after=after), media_type=EVENTS)
        if after is not None:
            raise InvalidRequest("'starting_after' needs stream=true.", param="starting_after")
        return Response(await responses.read(org_id, which), media_type=JSON)

    async def input_items(request: Request) -> Response:
        org_id = await organization(request)
        query = single(without(request.query_params, "include"))
        paging = Paging(
            after=read_word(query, "after"),
            limit=read_limit(query, default=20, most=100),
            descending=read_order(query, default="desc"),
        )
        page = await responses.input_items(org_id, request.path_params["id"], paging=paging)
        return Response(page, media_type=JSON)

    async def delete(request: Request) -> Response:
        deleted = await responses.delete(await organization(request), request.path_params["id"])
        return Response(msgspec.json.encode(deleted), media_type=JSON)

    async def cancel(request: Request) -> Response:
        org_id = await organization(request)
        return Response(await responses.cancel(org_id, request.path_params["id"]), media_type=JSON)

    one: dict[str, Handler] = {"GET": read}
    if not kept:
        return {f"{PATH}/{{id}}": one}
    return {
        f"{PATH}/{{id}}/input_items": {"GET": input_items},
        f"{PATH}/{{id}}/cancel": {"POST": cancel},
        f"{PATH}/{{id}}": one | {"DELETE": delete},
    }


def _read_flag(told: str | None) -> bool:
    if told not in (None, "true", "false"):
        raise InvalidRequest(f"'stream' must be true or false, not '{clip(told)}'.", param="stream")
    return told == "true"
