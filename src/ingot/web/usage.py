"""`/v1/usage`: the summary, the breakdown, the request log and its export, each of the asking key's organization."""

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ingot.services.requestlog import RequestLog, Wanted
from ingot.services.spans import DEFAULT_RANGE
from ingot.services.usage import Usage
from ingot.web.query import Organization, Pages, check_names, read_limit, single

JSON = "application/json"
CSV = "text/csv; charset=utf-8"
SUMMARY = ("range",)
BREAKDOWN = ("range", "date")
LISTING = ("key", "model", "after", "limit")
EXPORT = ("range", "date", "key", "model")
"""What each is chosen by; anything else, as `from`, would give other figures or rows than were asked for."""


def pages(usage: Usage, requests: RequestLog, *, organization: Organization) -> Pages:
    """The handlers by path and method."""

    async def summary(request: Request) -> Response:
        org_id = await organization(request)
        query = single(request.query_params)
        check_names(query, SUMMARY)
        return _json(await usage.summarize(org_id, range_name=_range(query)))

    async def breakdown(request: Request) -> Response:
        org_id = await organization(request)
        query = single(request.query_params)
        check_names(query, BREAKDOWN)
        return _json(await usage.break_down(org_id, range_name=_range(query), day=query.get("date")))

    async def listing(request: Request) -> Response:
        org_id = await organization(request)
        query = single(request.query_params)
        check_names(query, LISTING)
        limit = read_limit(query, default=20, most=100)
        return _json(
            await requests.page(org_id, wanted=_wanted(query), after=query.get("after"), limit=limit)
        )

    async def export(request: Request) -> Response:
        org_id = await organization(request)
        query = single(request.query_params)
        check_names(query, EXPORT)
        pieces = await requests.export(
            org_id, wanted=_wanted(query), range_name=_range(query), day=query.get("date")
        )
        if request.method == "HEAD":
            return Response(media_type=CSV)  # nobody would read a million lines
        return StreamingResponse(
            pieces, media_type=CSV, headers={"content-disposition": 'attachment; filename="usage.csv"'}
        )

    return {
        "/v1/usage": {"GET": summary},
        "/v1/usage/breakdown": {"GET": breakdown},
        "/v1/usage/requests": {"GET": listing},
        "/v1/usage/export": {"GET": export},
    }


def _range(query: QueryParams) -> str:
    return query.get("range", DEFAULT_RANGE)


def _wanted(query: QueryParams) -> Wanted:
    return Wanted(key=query.get("key"), model=query.get("model"))


def _json(value: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(value), media_type=JSON)
