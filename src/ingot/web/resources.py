"""Everything that is not an inference: models, health, version, metrics, the API's own description.

Starlette routes, as none of these is on the hot path. Knows the catalog and the runtime, decides no inference.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ingot import __version__
from ingot.catalog import Deployment
from ingot.dialects.chat import CHAT
from ingot.errors import ApiError, MethodNotAllowed, NotFound
from ingot.ids import new_id
from ingot.services.runtime import Runtime
from ingot.web import metrics
from ingot.web.errors import error_head
from ingot.web.intake import LOOPBACK_NAMES, Hosts, read_credential, read_request_id

Handler = Callable[[Request], Awaitable[Response]]

JSON = "application/json"


class ModelObject(msgspec.Struct, frozen=True):
    """A model as OpenAI's clients read it; `created` is unix seconds."""

    id: str
    created: int
    owned_by: str
    object: str = "model"


class ModelList(msgspec.Struct, frozen=True):
    """The answer of `GET /v1/models`."""

    data: list[ModelObject]
    object: str = "list"


class Readiness(msgspec.Struct, frozen=True):
    """The answer of `GET /readyz`: whether to send traffic here, and what speaks against it."""

    status: str
    models: int
    targets: dict[str, str]
    draining: bool = False


class State:
    """What the pages read; `runtime` is replaced whole on a reload, `draining` set when SIGTERM came."""

    def __init__(self, runtime: Runtime, *, hosts: Hosts, open_metrics: bool, description: bytes) -> None:
        """`open_metrics` serves the metrics page without a key, as on a loopback bind."""
        self.runtime = runtime
        self.hosts = hosts
        self.open_metrics = open_metrics
        self.description = description
        self.draining = False
        self.registry = metrics.registry(runtime.measures, runtime.fleet, runtime.clock)


def describe_model(deployment: Deployment) -> ModelObject:
    """A deployment as a client sees it."""
    return ModelObject(id=deployment.name, created=deployment.created, owned_by=deployment.owned_by)


def build(state: State) -> ASGIApp:
    """The application for all paths that are no inference surface."""

    async def models(request: Request) -> Response:
        await _authenticate(state, request)
        listed = [describe_model(deployment) for deployment in state.runtime.catalog.deployments.values()]
        return _json(ModelList(listed))

    async def model(request: Request) -> Response:
        await _authenticate(state, request)
        return _json(describe_model(state.runtime.catalog.resolve(request.path_params["name"])))

    async def alive(_: Request) -> Response:
        return Response(b'{"status":"ok"}', media_type=JSON)

    async def ready(_: Request) -> Response:
        answer = read_readiness(state)
        return Response(
            msgspec.json.encode(answer), status_code=200 if answer.status == "ok" else 503, media_type=JSON
        )

    async def version(_: Request) -> Response:
        return Response(msgspec.json.encode({"name": "ingot", "version": __version__}), media_type=JSON)

    async def description(_: Request) -> Response:
        return Response(state.description, media_type=JSON)

    async def measures(request: Request) -> Response:
        # On a loopback bind a scraper on this machine needs no key; what comes through a proxy is not it.
        if not state.open_metrics or request.url.hostname not in LOOPBACK_NAMES:
            await _authenticate(state, request)
        return Response(metrics.render(state.registry), media_type="text/plain; version=0.0.4; charset=utf-8")

    routes = [
        ("/v1/models", models),
        ("/v1/models/{name:path}", model),
        ("/health", ready),
        ("/livez", alive),
        ("/readyz", ready),
        ("/version", version),
        ("/openapi.json", description),
    ]
    if state.runtime.config.server.metrics:
        routes.append(("/metrics", measures))
    return Starlette(
        routes=[Route(path, _guarded(state, handler)) for path, handler in routes],
        exception_handlers={404: _unanswered(state), 405: _unanswered(state), ApiError: _refuse},
    )


def _unanswered(state: State) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def unanswered(request: Request, error: Exception) -> Response:
        """What Starlette found no route or no method for, told our way."""
        try:
            state.hosts.check(request.headers.get("host", "").encode("latin-1"))
        except ApiError as refused:
            return await _refuse(request, refused)
        path = request.url.path
        if getattr(error, "status_code", 404) == 405:
            text = f"{path[:200]} takes GET, not {request.method[:20]}."
            return await _refuse(request, MethodNotAllowed(text, allow=("GET", "HEAD")))
        return await _refuse(request, refuse_unknown(path))

    return unanswered


def _guarded(state: State, handler: Handler) -> Handler:
    async def guarded(request: Request) -> Response:
        state.hosts.check(request.headers.get("host", "").encode("latin-1"))
        response = await handler(request)
        response.headers.setdefault("x-request-id", _request_id(request))
        return response

    return guarded


def read_readiness(state: State) -> Readiness:
    """Ready means: not draining, and at least one deployment has a target that may be asked."""
    fleet = state.runtime.fleet
    now = state.runtime.clock.monotonic()
    targets = {name: link.describe(now) for name, link in fleet.links.items()}
    deployments = state.runtime.catalog.deployments.values()
    usable = sum(any(targets[route.target.name] == "ok" for route in one.routes) for one in deployments)
    if state.draining:
        status = "draining"
    elif usable or not deployments:
        status = "ok"
    else:
        status = "unavailable"
    return Readiness(status=status, models=usable, targets=targets, draining=state.draining)


async def _authenticate(state: State, request: Request) -> None:
    headers = request.headers
    authorization = headers.get("authorization")
    api_key = headers.get("x-api-key")
    token = read_credential(
        authorization.encode("latin-1") if authorization is not None else None,
        api_key.encode("latin-1") if api_key is not None else None,
    )
    await state.runtime.keys.authenticate(token)


def _request_id(request: Request) -> str:
    return read_request_id(request.headers.get("x-request-id", "").encode("latin-1"), new_id)


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type=JSON)


def refuse_unknown(path: str) -> NotFound:
    """The error for a path that nothing answers."""
    return NotFound(
        f"Nothing answers at {path[:200]}. GET /openapi.json lists every path.", code="unknown_url"
    )


async def _refuse(request: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    request_id = _request_id(request)
    body = CHAT.encode_error(error, request_id)
    lines = error_head(error, request_id).decode("ascii").splitlines()
    headers = dict(line.split(": ", 1) for line in lines)
    return Response(body, status_code=error.status, headers=headers)
