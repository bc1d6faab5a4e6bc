"""`/v1/models` and one model: what OpenAI's clients read, and beside it what the preset has models tell.

Knows the catalog; which models a key may see is the grant's to say.
"""

from collections.abc import Awaitable, Callable, Collection
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ingot.catalog import Deployment
from ingot.config import CardConfig
from ingot.presets.sections import ModelExtra
from ingot.pricing import Rates, per_million
from ingot.services.grants import deployment_for, deployments_for
from ingot.services.keys import Principal
from ingot.services.runtime import Runtime
from ingot.web.query import Handler

JSON = "application/json"
PRICE_UNIT = "USD per 1M tokens"


class WindowObject(msgspec.Struct, frozen=True, omit_defaults=True):
    """A completion window of a model: prices are decimal text, in `unit`; what is not told costs as its kind."""

    name: str
    input: str
    cached_input: str
    output: str
    cache_write: str | None = None
    reasoning: str | None = None
    unit: str = ""


class ModelObject(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model as OpenAI's clients read it; `created` is unix seconds, dates are days. Extras are as the preset has them."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    deprecation_date: str | None = None
    shutdown_date: str | None = None
    windows: list[WindowObject] | None = None
    card: CardConfig | None = None


class ModelList(msgspec.Struct, frozen=True):
    """The answer of `GET /v1/models`."""

    data: list[ModelObject]
    object: str = "list"


def describe_model(
    deployment: Deployment, extras: Collection[ModelExtra] = (), *, alone: bool = False
) -> ModelObject:
    """A deployment as a client sees it, with the extras that there are; a card is told of one model `alone`."""
    return ModelObject(
        id=deployment.name,
        object="model",
        created=deployment.created,
        owned_by=deployment.owned_by,
        deprecation_date=deployment.deprecation,
        shutdown_date=deployment.sunset,
        windows=[_window(deployment.price.at(name), name) for name in deployment.windows]
        if "windows" in extras
        else None,
        card=deployment.card if alone and "card" in extras else None,
    )


def _window(rates: Rates, name: str) -> WindowObject:
    return WindowObject(
        name=name,
        input=per_million(rates.input),
        cached_input=per_million(rates.cached_input),
        output=per_million(rates.output),
        cache_write=None if rates.cache_write == rates.input else per_million(rates.cache_write),
        reasoning=None if rates.reasoning == rates.output else per_million(rates.reasoning),
        unit=PRICE_UNIT,
    )


def pages(
    runtime: Callable[[], Runtime], *, principal: Callable[[Request], Awaitable[Principal]]
) -> list[tuple[str, Handler]]:
    """The handlers by path; `runtime` is asked for each time, for a reload replaces it."""

    async def listed(request: Request) -> Response:
        grant = (await principal(request)).grant
        now = runtime()
        extras = now.preset.model_extras
        found = [describe_model(each, extras) for each in deployments_for(now.catalog, grant)]
        return Response(msgspec.json.encode(ModelList(found)), media_type=JSON)

    async def one(request: Request) -> Response:
        grant = (await principal(request)).grant
        now = runtime()
        deployment = deployment_for(now.catalog, grant, model=request.path_params["name"])
        told = describe_model(deployment, now.preset.model_extras, alone=True)
        lines = deployment.notice.decode("ascii").splitlines()
        headers = dict(line.split(": ", 1) for line in lines)
        return Response(msgspec.json.encode(told), media_type=JSON, headers=headers)

    return [("/v1/models", listed), ("/v1/models/{name:path}", one)]
