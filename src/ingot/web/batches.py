"""`/v1/batches` and `/v1/messages/batches` on the wire.

    POST, GET    /v1/batches                           /v1/messages/batches
    GET          /v1/batches/{id}                      /v1/messages/batches/{id}            DELETE, too
    POST         /v1/batches/{id}/cancel               /v1/messages/batches/{id}/cancel
    GET          /v1/batches/{id}/results              /v1/messages/batches/{id}/results
    GET          /v1/batches/{id}/{custom_id}

A body with a hundred thousand requests goes to disk as it comes, and is looked at while it does: what is no JSON, or too
much, is refused before the rest of it is sent. What is made is made once for each Idempotency-Key: a retry is the same
where its bytes are. Source: contract §4 and §6, C-10 to C-12, C-62.
"""

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ingot.config.batches import BatchesConfig
from ingot.dialects import batches as wire
from ingot.dialects import message_batches
from ingot.dialects.batches import REQUESTS, CreateBatch
from ingot.dialects.dialect import Dialect
from ingot.errors import InvalidRequest, Unsupported
from ingot.presets import Preset, dressed
from ingot.rawjson import clip
from ingot.services.batches.desk import OBJECT, PLAIN, Batches, Wording, marks_of
from ingot.services.changes import Changes
from ingot.services.files import Files
from ingot.web.once import JSON, Caller, make_once
from ingot.web.query import Handler, Pages, check_names, read_limit, read_word, single
from ingot.web.spool import spooled
from ingot.web.surfaces import DIALECTS

PATH: Final = "/v1/batches"
JSONL: Final = "application/x-jsonl"
ENDPOINTS: Final = ("responses", "chat", "messages", "embeddings", "completions")
"""The surfaces whose requests may be batched, the usual one first."""


def batched(preset: Preset) -> Mapping[str, Dialect]:
    """What requests of a batch may be for, by path."""
    known = dict(DIALECTS)
    return {
        f"/v1{known[name].surface}": dressed(known[name], preset)
        for name in ENDPOINTS
        if preset.offers(name) and name in preset.batches.endpoints
    }


def wording(preset: Preset) -> Wording:
    """How a preset tells batches."""
    return PLAIN if preset.batches.form == "plain" else OBJECT


def pages(
    batches: Batches, *, limits: BatchesConfig, files: Files, caller: Caller, changes: Changes, preset: Preset
) -> Pages:
    """The handlers of `/v1/batches`; a path with more segments stands first."""
    plain = batches.form == "plain"

    async def create(request: Request) -> Response:
        who = await caller(request)
        async with spooled(request, files, limits) as spool:
            inline = spool.count is not None
            if not inline and "input_file_id" not in preset.batches.fields:
                raise _missing_requests()
            wanted = wire.decode_create(spool.value, inline=inline)
            for name in spool.value:
                if name not in preset.batches.fields:
                    raise Unsupported(f"'{name}' is not supported. Leave it out.", param=name)
            wire.check_endpoint(wanted.endpoint, tuple(batches.dialects))
            headers = dict(request.headers.raw)
            making = batches.making
            return await make_once(
                changes,
                request,
                who,
                body=spool.identity,
                make=lambda keep: (
                    making.create(who, spool.draft, wanted, headers=headers, keep=keep)
                    if inline
                    else making.create_from_file(who, wanted, keep=keep)
                ),
            )

    async def result(request: Request) -> Response:
        who, params = await caller(request), request.path_params
        return _json(await batches.result(who.org_id, params["id"], params["custom_id"]))

    async def lines(request: Request) -> Response:
        who = await caller(request)
        query = single(request.query_params)
        check_names(query, ("after", "limit"))
        after, limit = read_word(query, "after"), read_limit(query, default=1000, most=10_000)
        body = await batches.page(who.org_id, request.path_params["id"], after=after, limit=limit)
        return Response(body, media_type=JSONL)

    found = _common(batches, PATH, caller=caller, most=200 if plain else 100, usual=25 if plain else 20)
    found[PATH]["POST"] = create
    if plain:
        found.pop(f"{PATH}/{{id}}/cancel")
    else:
        found = {f"{PATH}/{{id}}/results": {"GET": lines}, **found}
    one = found.pop(f"{PATH}/{{id}}")
    return {**found, f"{PATH}/{{id}}/{{custom_id}}": {"GET": result}, f"{PATH}/{{id}}": one}


def message_pages(
    batches: Batches, *, limits: BatchesConfig, files: Files, caller: Caller, changes: Changes
) -> Pages:
    """The handlers of `/v1/messages/batches`."""
    path = message_batches.PATH

    async def create(request: Request) -> Response:
        who = await caller(request)
        async with spooled(request, files, limits) as spool:
            if spool.count is None:
                raise _missing_requests()
            for name in spool.value:
                raise Unsupported(
                    f"Unknown parameter: '{clip(name)}'. A batch has 'requests' alone.", param=clip(name)
                )
            wanted = CreateBatch(endpoint="/v1/messages")
            headers = dict(request.headers.raw)
            return await make_once(
                changes,
                request,
                who,
                body=spool.identity,
                make=lambda keep: batches.making.create(who, spool.draft, wanted, headers=headers, keep=keep),
            )

    async def lines(request: Request) -> Response:
        who = await caller(request)
        return StreamingResponse(
            await batches.every_line(who.org_id, request.path_params["id"]), media_type=JSONL
        )

    async def delete(request: Request) -> Response:
        return _json(await batches.delete((await caller(request)).org_id, request.path_params["id"]))

    found = _common(batches, path, caller=caller, most=1000, usual=20)
    found[path]["POST"] = create
    found[f"{path}/{{id}}"]["DELETE"] = delete
    return {f"{path}/{{id}}/results": {"GET": lines}, **found}


def _common(batches: Batches, path: str, *, caller: Caller, most: int, usual: int) -> Pages:
    marks = marks_of(batches.form)

    async def list_batches(request: Request) -> Response:
        who = await caller(request)
        query = single(request.query_params)
        check_names(query, (*marks, "limit"))
        after = read_word(query, marks[0])
        before = read_word(query, marks[1]) if len(marks) > 1 else None
        if after is not None and before is not None:
            raise InvalidRequest("Send 'after_id' or 'before_id', not both.", param="before_id")
        limit = read_limit(query, default=usual, most=most)
        return _json(await batches.list(who.org_id, after=after, before=before, limit=limit))

    async def read(request: Request) -> Response:
        return _json(await batches.read((await caller(request)).org_id, request.path_params["id"]))

    async def cancel(request: Request) -> Response:
        return _json(await batches.cancel((await caller(request)).org_id, request.path_params["id"]))

    one: dict[str, Handler] = {"GET": read}
    return {
        path: {"GET": list_batches},
        f"{path}/{{id}}/cancel": {"POST": cancel},
        f"{path}/{{id}}": one,
    }


def _missing_requests() -> InvalidRequest:
    return InvalidRequest(
        "Missing required parameter: 'requests'. It must be an array of requests.",
        param=REQUESTS,
        code="missing_required_parameter",
    )


def _json(body: bytes) -> Response:
    return Response(body, media_type=JSON)
