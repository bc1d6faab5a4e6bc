"""Everything that is not an inference: models, health, version, metrics, the API's own description.

Starlette routes, as none of these is on the hot path. Knows the catalog and the runtime, decides no inference.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ingot import __version__
from ingot.dialects.dialect import Dialect
from ingot.dialects.messages import MESSAGES as MESSAGES_DIALECT
from ingot.errors import ApiError, MethodNotAllowed, NotFound
from ingot.ids import new_id
from ingot.presets import Preset, dressed, encode_anthropic_error, encode_error
from ingot.services.answers import Answers
from ingot.services.background import Background
from ingot.services.batches.desk import MESSAGES as MESSAGE_WORDING
from ingot.services.batches.desk import Batches
from ingot.services.changes import Changes
from ingot.services.conversations import Conversations, keeps_content
from ingot.services.files import Files
from ingot.services.grants import deployment_for, deployments_for
from ingot.services.hitrates import HitRates
from ingot.services.kept import Responses
from ingot.services.keys import Principal
from ingot.services.requestlog import RequestLog
from ingot.services.runtime import Runtime
from ingot.services.uploads import Uploads
from ingot.services.usage import Usage
from ingot.services.webhooks.endpoints import Endpoints
from ingot.store.database import Database
from ingot.store.faults import StoreError
from ingot.web import (
    background,
    batches,
    conversations,
    files,
    llms,
    metrics,
    quotes,
    responses,
    stored,
    usage,
    webhooks,
)
from ingot.web.errors import as_response, broken, is_anthropics, tell, unreadable
from ingot.web.intake import LOOPBACK_NAMES, Hosts, read_credential, read_request_id
from ingot.web.models import ModelList, describe_anthropic, describe_model, list_anthropic
from ingot.web.once import Caller
from ingot.web.proxies import Proxies
from ingot.web.query import Pages, by_method
from ingot.web.surfaces import DIALECTS, build_surfaces

Handler = Callable[[Request], Awaitable[Response]]

JSON = "application/json"


class Readiness(msgspec.Struct, frozen=True):
    """The answer of `GET /readyz`: whether to send traffic here, and what speaks against it."""

    status: str
    models: int
    targets: dict[str, str]
    draining: bool = False


class State:
    """What the pages read; `runtime` is replaced whole on a reload, `draining` set when SIGTERM came."""

    def __init__(
        self,
        runtime: Runtime,
        database: Database,
        *,
        changes: Changes,
        files: Files,
        endpoints: Endpoints,
        hosts: Hosts,
        proxies: Proxies,
        open_metrics: bool,
        description: bytes,
    ) -> None:
        """`open_metrics` serves the metrics page without a key, as on a loopback bind."""
        self.runtime = runtime
        self.database = database
        self.changes = changes
        self.files = files
        self.endpoints = endpoints
        self.hosts = hosts
        self.proxies = proxies
        self.open_metrics = open_metrics
        self.description = description
        self.draining = False
        self.registry = metrics.registry(runtime, database.tally)


def build(state: State) -> ASGIApp:
    """The application for all paths that are no inference surface."""
    preset = state.runtime.preset

    async def models(request: Request) -> Response:
        principal = await _authenticate(state, request)
        listed = deployments_for(state.runtime.catalog, principal.grant)
        if speaks_anthropic(state, request):
            return _json(list_anthropic(listed, request.query_params))
        return _json(ModelList([describe_model(deployment, preset.model_extras) for deployment in listed]))

    async def model(request: Request) -> Response:
        principal = await _authenticate(state, request)
        name = request.path_params["name"]
        found = deployment_for(state.runtime.catalog, principal.grant, model=name)
        anthropic = speaks_anthropic(state, request)
        told = describe_model(found, preset.model_extras, alone=True)
        return _json(describe_anthropic(found) if anthropic else told)

    async def alive(_: Request) -> Response:
        return Response(b'{"status":"ok"}', media_type=JSON)

    async def ready(_: Request) -> Response:
        answer = read_readiness(state)
        return Response(
            msgspec.json.encode(answer), status_code=200 if answer.status == "ok" else 503, media_type=JSON
        )

    async def version(_: Request) -> Response:
        return Response(msgspec.json.encode({"name": "ingot", "version": __version__}), media_type=JSON)

    async def measures(request: Request) -> Response:
        # On a loopback bind a scraper on this machine needs no key; what comes through a proxy is not it.
        if not state.open_metrics or request.url.hostname not in LOOPBACK_NAMES:
            await _authenticate(state, request)
        return Response(metrics.render(state.registry), media_type="text/plain; version=0.0.4; charset=utf-8")

    lost, refuse = _unanswered(state), _refuser(state)
    routes: list[tuple[str, Handler]] = [
        ("/health", ready),
        ("/livez", alive),
        ("/readyz", ready),
        ("/version", version),
        ("/openapi.json", _page(state.description, JSON)),
        (llms.INDEX, _page(llms.index(preset, state.description).encode(), "text/plain; charset=utf-8")),
        (llms.REFERENCE, _page(llms.reference(preset).encode(), "text/markdown; charset=utf-8")),
    ]
    if state.runtime.config.server.metrics:
        routes.append(("/metrics", measures))
    if preset.offers("models"):
        routes += [("/v1/models", models), ("/v1/models/{name:path}", model)]
    kept = [
        Route(path, _guarded(state, by_method(handlers)), methods=list(handlers))
        for path, handlers in _kept(state).items()
    ]
    return Starlette(
        routes=[*kept, *(Route(path, _guarded(state, handler)) for path, handler in routes)],
        exception_handlers={404: lost, 405: lost, ApiError: refuse, StoreError: refuse, Exception: refuse},
    )


def _page(body: bytes, media_type: str) -> Handler:
    """What answers with the same bytes for ever."""

    async def answer(_: Request) -> Response:
        return Response(body, media_type=media_type)

    return answer


def _kept(state: State) -> Pages:
    """What there is to be read of the store: completions, conversations, files, quotes and usage, as far as the preset offers them."""
    runtime, database = state.runtime, state.database
    clock, preset = runtime.clock, runtime.preset

    async def caller(request: Request) -> Principal:
        return await _authenticate(state, request)

    async def organization(request: Request) -> str:
        return (await caller(request)).org_id

    found: Pages = {}
    if preset.offers("stored"):
        found |= stored.pages(Answers(database, clock=clock), organization=organization)
    if preset.offers("responses"):
        found |= responses.pages(
            Responses(database, clock=clock),
            organization=organization,
            kept=preset.offers("kept_responses"),
        )
    if preset.offers("conversations"):
        held = Conversations(database, clock=clock, content=keeps_content(runtime.config.store))
        limits = runtime.config.limits
        found |= conversations.pages(held, caller=caller, changes=state.changes, limits=limits)
    if preset.offers("files"):
        uploads = Uploads(database, state.files, clock=clock)
        found |= files.pages(uploads, caller=caller, changes=state.changes)
    found |= _batches(state, caller)
    if preset.offers("quotes"):
        found |= quotes.pages(
            lambda: state.runtime,
            _asked(preset),
            batches.batched(preset),
            files=state.files,
            caller=caller,
        )
    if preset.offers("windows"):
        rates = HitRates(database, clock=clock)
        found |= quotes.window_pages(lambda: state.runtime, rates, caller=caller)
    if preset.offers("webhooks"):
        found |= webhooks.pages(state.endpoints, caller=caller, changes=state.changes)
    if preset.offers("usage"):
        log = RequestLog(database, clock=clock)
        found |= usage.pages(Usage(database, clock=clock), log, organization=organization)
    for surface in sorted(preset.background.surfaces & background.PATHS.keys()):
        records = Background(runtime, dressed(dict(DIALECTS)[surface], preset))
        ends = surface != "responses" or preset.offers("kept_responses")
        found = background.joined(found, records, organization=organization, ends=ends)
    return found


def _batches(state: State, caller: Caller) -> Pages:
    """The batches of the preset's two kinds, as far as it offers them."""
    runtime, preset = state.runtime, state.runtime.preset
    limits, files = runtime.config.batches, state.files
    found: Pages = {}
    if preset.offers("message_batches"):
        known = {"/v1/messages": dressed(MESSAGES_DIALECT, preset)}
        desk = Batches(runtime, state.database, files=files, dialects=known, wording=MESSAGE_WORDING)
        found |= batches.message_pages(desk, limits=limits, files=files, caller=caller, changes=state.changes)
    if preset.offers("batches"):
        known = dict(batches.batched(preset))
        desk = Batches(runtime, state.database, files=files, dialects=known, wording=batches.wording(preset))
        found |= batches.pages(
            desk, limits=limits, files=files, caller=caller, changes=state.changes, preset=preset
        )
    return found


def _asked(preset: Preset) -> dict[str, Dialect]:
    """The dialects of the surfaces that something can be asked of, by their paths."""
    return {each.path: each.dialect for each in build_surfaces(preset) if not each.counts}


def _unanswered(state: State) -> Callable[[Request, Exception], Awaitable[Response]]:
    refuse = _refuser(state)

    async def unanswered(request: Request, error: Exception) -> Response:
        """What Starlette found no route or no method for, told our way."""
        try:
            state.hosts.check(request.headers.get("host", "").encode("latin-1"))
        except ApiError as refused:
            return await refuse(request, refused)
        path = request.url.path
        if getattr(error, "status_code", 404) == 405:
            told = getattr(error, "headers", {}).get("Allow", "GET, HEAD").split(", ")
            # To ask for a completion is an inference, which is routed before anything comes here.
            allow = tuple(sorted({*told, "POST"} if path == stored.PATH else told))
            text = f"{path[:200]} takes {' or '.join(allow)}, not {request.method[:20]}."
            return await refuse(request, MethodNotAllowed(text, allow=allow))
        return await refuse(request, refuse_unknown(path))

    return unanswered


def _guarded(state: State, handler: Handler) -> Handler:
    async def guarded(request: Request) -> Response:
        state.hosts.check(request.headers.get("host", "").encode("latin-1"))
        response = await handler(request)
        _name_request(state, request, response, _request_id(request))
        return response

    return guarded


def read_readiness(state: State) -> Readiness:
    """Ready means: not draining, records can be written, and at least one deployment has a target that may be asked."""
    fleet = state.runtime.fleet
    now = state.runtime.clock.monotonic()
    targets = {name: link.describe(now) for name, link in fleet.links.items()}
    deployments = state.runtime.catalog.deployments.values()
    usable = sum(any(targets[route.target.name] == "ok" for route in one.routes) for one in deployments)
    if state.draining:
        status = "draining"
    elif state.runtime.recorder.failing_since is not None:
        status = "storage failing"
    elif usable or not deployments:
        status = "ok"
    else:
        status = "unavailable"
    return Readiness(status=status, models=usable, targets=targets, draining=state.draining)


def speaks_anthropic(state: State, request: Request) -> bool:
    """Whether the client is one of Anthropic's, by a header or by where it goes, and the preset has something for those."""
    theirs = is_anthropics(request.url.path) or "anthropic-version" in request.headers
    return theirs and state.runtime.preset.offers("messages")


def _name_request(state: State, request: Request, response: Response, request_id: str) -> None:
    response.headers.setdefault("x-request-id", request_id)
    if speaks_anthropic(state, request):
        response.headers["request-id"] = response.headers["x-request-id"]


async def _authenticate(state: State, request: Request) -> Principal:
    headers = request.headers
    authorization = headers.get("authorization")
    runtime = state.runtime
    either = "x-api-key" in runtime.preset.keys.headers
    api_key = headers.get("x-api-key") if either else None
    token = read_credential(
        authorization.encode("latin-1") if authorization is not None else None,
        api_key.encode("latin-1") if api_key is not None else None,
        either=either,
    )
    peer = None if request.client is None else request.client.host
    address = state.proxies.client(peer, headers.raw)
    return await runtime.keys.authenticate(token, address=address)


def _request_id(request: Request) -> str:
    return read_request_id(request.headers.get("x-request-id", "").encode("latin-1"), new_id)


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type=JSON)


def refuse_unknown(path: str) -> NotFound:
    """The error for a path that nothing answers."""
    return NotFound(
        f"Nothing answers at {path[:200]}. GET /openapi.json lists every path.", code="unknown_url"
    )


def _refuser(state: State) -> Callable[[Request, Exception], Awaitable[Response]]:
    preset = state.runtime.preset
    usual, anthropic = partial(encode_error, preset), partial(encode_anthropic_error, preset)

    async def refuse(request: Request, error: Exception) -> Response:
        """An error as the preset tells it; what is none of ours is raised once more by Starlette, and logged then."""
        request_id = _request_id(request)
        if isinstance(error, StoreError):
            error = unreadable()
        elif not isinstance(error, ApiError):
            error = broken()
        encode = anthropic if speaks_anthropic(state, request) else usual
        response = as_response(tell(error, request_id, encode=encode))
        _name_request(state, request, response, request_id)
        return response

    return refuse
