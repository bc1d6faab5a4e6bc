"""`/v1/models` in the two shapes that clients read: OpenAI's, and Anthropic's where the header `anthropic-version` is sent.

    GET /v1/models           {"object": "list", "data": [...]}
                             {"data": [...], "has_more", "first_id", "last_id"}     limit, after_id, before_id, lifecycle[]
    GET /v1/models/{id}      one of them

What OpenAI's shape has beside its fields, cards and windows with their prices, is as the preset has it.
Decides shapes and pages; which models there are for whom is the catalog's and the grant's to say. Source: contract §4, §6.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import msgspec
from starlette.datastructures import QueryParams

from ingot.catalog import Deployment
from ingot.config import CardConfig, first_second
from ingot.errors import InvalidRequest
from ingot.presets.sections import ModelExtra
from ingot.pricing import Rates, per_million
from ingot.rawjson import clip
from ingot.web.query import read_limit

PAGE = 20
PRICE_UNIT = "USD per 1M tokens"
LONGEST_PAGE = 1000
LIFECYCLES = ("active", "deprecated", "retired")
ACTIVE, DEPRECATED = LIFECYCLES[:2]
"""What can be asked for is one of these: a model that has ended is not configured any more."""


class WindowObject(msgspec.Struct, frozen=True, omit_defaults=True):
    """A completion window of a model: prices are decimal text, in `unit`; what is not told costs as its kind."""

    name: str
    input: str
    cached_input: str
    output: str
    cache_write: str | None = None
    reasoning: str | None = None
    unit: str = ""


class ModelObject(msgspec.Struct, frozen=True):
    """A model as OpenAI's clients read it; `created` is unix seconds, `shutdown_date` the day on which it ends.

    While that is not known, `deprecated_at` is the day since which its end is announced.
    """

    id: str
    created: int
    owned_by: str
    shutdown_date: str | msgspec.UnsetType = msgspec.UNSET
    deprecated_at: str | msgspec.UnsetType = msgspec.UNSET
    windows: list[WindowObject] | msgspec.UnsetType = msgspec.UNSET
    card: CardConfig | msgspec.UnsetType = msgspec.UNSET
    object: str = "model"


class ModelList(msgspec.Struct, frozen=True):
    """The answer of `GET /v1/models`."""

    data: list[ModelObject]
    object: str = "list"


class AnthropicModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model as Anthropic's clients read it; `created_at` is RFC 3339."""

    type: str = "model"
    id: str
    display_name: str
    created_at: str
    lifecycle: str = ACTIVE
    deprecated_at: str | None = None
    retires_at: str | None = None
    line: str | None = None
    max_input_tokens: int | None = None
    max_tokens: int | None = None
    capabilities: dict[str, bool] | None = None


class AnthropicModelList(msgspec.Struct, frozen=True):
    """A page of models as Anthropic's clients read it."""

    data: list[AnthropicModel]
    has_more: bool
    first_id: str | None
    last_id: str | None


def describe_model(
    deployment: Deployment, extras: Collection[ModelExtra] = (), *, alone: bool = False
) -> ModelObject:
    """A deployment as an OpenAI client sees it, with the extras that there are; a card is told of one model `alone`."""
    unset, card = msgspec.UNSET, deployment.card
    ends, announced = deployment.shutdown_date, deployment.deprecated
    windows = [_window(deployment.price.at(name), name) for name in deployment.windows]
    return ModelObject(
        id=deployment.name,
        created=deployment.created,
        owned_by=deployment.owned_by,
        shutdown_date=unset if ends is None else ends,
        deprecated_at=unset
        if announced is None or ends is not None
        else _instant(announced)[: len("2026-11-01")],
        windows=windows if "windows" in extras else unset,
        card=card if alone and card is not None and "card" in extras else unset,
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


def describe_anthropic(deployment: Deployment) -> AnthropicModel:
    """A deployment as an Anthropic client sees it."""
    ends = deployment.shutdown_date
    return AnthropicModel(
        id=deployment.name,
        display_name=deployment.name,
        created_at=_instant(deployment.created),
        lifecycle=_lifecycle(deployment),
        deprecated_at=None if deployment.deprecated is None else _instant(deployment.deprecated),
        retires_at=None if ends is None else _instant(first_second(ends)),
        max_input_tokens=deployment.context,
    )


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _lifecycle(deployment: Deployment) -> str:
    return ACTIVE if deployment.deprecated is None else DEPRECATED


def list_anthropic(deployments: Sequence[Deployment], query: QueryParams) -> AnthropicModelList:
    """The page that the query asks for; raises InvalidRequest."""
    limit = read_limit(query, default=PAGE, most=LONGEST_PAGE)
    after, before = query.get("after_id"), query.get("before_id")
    if after is not None and before is not None:
        raise InvalidRequest("'after_id' and 'before_id' exclude each other; send one.", param="before_id")
    shown = _shown(query)
    known = [each for each in deployments if _lifecycle(each) in shown]
    start, end = 0, len(known)
    if after is not None:
        start = _place(known, after, param="after_id") + 1
        end = min(start + limit, len(known))
        more = end < len(known)
    elif before is not None:
        end = _place(known, before, param="before_id")
        start = max(0, end - limit)
        more = start > 0
    else:
        end = min(limit, len(known))
        more = end < len(known)
    data = [describe_anthropic(each) for each in known[start:end]]
    return AnthropicModelList(data, more, data[0].id if data else None, data[-1].id if data else None)


def _shown(query: QueryParams) -> set[str]:
    asked = [*query.getlist("lifecycle[]"), *query.getlist("lifecycle")]
    for word in asked:
        if word not in LIFECYCLES:
            raise InvalidRequest(
                f"'lifecycle[]' must be 'active', 'deprecated' or 'retired', but got '{clip(word)}'.",
                param="lifecycle[]",
            )
    return set(asked or LIFECYCLES)


def _place(deployments: Sequence[Deployment], name: str, *, param: str) -> int:
    for place, each in enumerate(deployments):
        if each.name == name:
            return place
    raise InvalidRequest(f"'{param}' names no model of this list: '{clip(name)}'.", param=param)
