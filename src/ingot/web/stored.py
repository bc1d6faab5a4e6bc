"""`/v1/chat/completions` but for its POST: stored completions as OpenAI's clients list, read, relabel and delete them.

    GET                    /v1/chat/completions
    GET, POST, DELETE      /v1/chat/completions/{id}
    GET                    /v1/chat/completions/{id}/messages

Reads the query and the body; decides nothing about what is visible. Source: contract §2.
"""

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from ingot.errors import InvalidRequest
from ingot.rawjson import clip
from ingot.services.answers import Answers, Wanted
from ingot.services.paging import Paging
from ingot.web.intake import read_bounded
from ingot.web.query import Handler, Organization, Pages, read_limit, read_order, read_word, single

JSON = "application/json"
PATH = "/v1/chat/completions"

BODY_BYTES = 256 * 1024
"""Sixteen pairs of the largest size, every character escaped, fit twice."""

_FILTER = "metadata["
_MOST_PAIRS = 16


def pages(answers: Answers, *, organization: Organization) -> Pages:
    """The handlers by path and method; a path with more segments stands first."""

    async def list_completions(request: Request) -> Response:
        org_id = await organization(request)
        query = single(request.query_params)
        wanted = Wanted(model=read_word(query, "model"), metadata=_metadata(query))
        return _json(await answers.list(org_id, wanted, paging=_paging(query)))

    async def read(request: Request) -> Response:
        return _json(await answers.read(await organization(request), request.path_params["id"]))

    async def messages(request: Request) -> Response:
        org_id = await organization(request)
        paging = _paging(single(request.query_params))
        return _json(await answers.messages(org_id, request.path_params["id"], paging=paging))

    async def update(request: Request) -> Response:
        org_id = await organization(request)
        body = await read_bounded(request, BODY_BYTES)
        return _json(await answers.update(org_id, request.path_params["id"], body=body))

    async def delete(request: Request) -> Response:
        deleted = await answers.delete(await organization(request), request.path_params["id"])
        return _json(msgspec.json.encode(deleted))

    one: dict[str, Handler] = {"GET": read, "POST": update, "DELETE": delete}
    return {
        PATH: {"GET": list_completions},
        f"{PATH}/{{id:path}}/messages": {"GET": messages},
        f"{PATH}/{{id:path}}": one,
    }


def _paging(query: QueryParams) -> Paging:
    return Paging(
        after=read_word(query, "after"),
        limit=read_limit(query, default=20, most=100),
        descending=read_order(query),
    )


def _metadata(query: QueryParams) -> dict[str, str]:
    """The pairs that a list is filtered by: `metadata[KEY]=VALUE`."""
    pairs: dict[str, str] = {}
    for name, value in query.items():
        if name.startswith("metadata"):
            key = name[len(_FILTER) : -1]
            if not (name.startswith(_FILTER) and name.endswith("]") and 0 < len(key) <= 64):
                raise InvalidRequest(
                    f"A filter is written metadata[KEY]=VALUE, with a key of 1 to 64 characters; got "
                    f"'{clip(name)}'.",
                    param="metadata",
                )
            if len(value) > 512 or "\0" in key + value:
                raise InvalidRequest(
                    f"The value of '{clip(name)}' must be a string of at most 512 characters.",
                    param="metadata",
                )
            pairs[key] = value
    if len(pairs) > _MOST_PAIRS:
        raise InvalidRequest(f"At most {_MOST_PAIRS} metadata filters are taken.", param="metadata")
    return pairs


def _json(body: bytes) -> Response:
    return Response(body, media_type=JSON)
