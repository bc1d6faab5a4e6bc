"""The catalog: which public model names there are, and where requests for each of them go.

    Deployment (public name) --routes--> Route (model, weight) --> Target (address, credential, quirks)

Built whole from a Config and the embedded models, and replaced whole on a reload. Refuses to know how a
target is called, whether it works, and which route is taken.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

from ingot.config import (
    ENGINE_PREFIX,
    Config,
    ConfigError,
    Handling,
    ModelConfig,
    QuirksConfig,
    RouteConfig,
    TargetConfig,
    nearest,
    quoted,
    unread,
)
from ingot.errors import NotFound
from ingot.pricing import Price, parse

MOST_NAMED: Final = 5  # models that an error names
MOST_COMPARED: Final = 200  # a comparison costs some 20 us, and unknown names cost their sender nothing
LONGEST_SHOWN: Final = 100
UNLISTED: Final = frozenset({"created", "capabilities"})  # follow from other fields or from the start


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait: for the connection, for the first byte of an answer, between two pieces of it."""

    connect: float = 5.0
    first_byte: float = 600.0
    idle: float = 120.0


# Whether an engine is well is its supervisor's to say: all streams of one that died must not close the door to the next.
UNBREAKABLE: Final = 1_000_000_000

# A health check that takes longer says that the target is not well.
PROBE_TIMEOUTS: Final = Timeouts(connect=5.0, first_byte=5.0, idle=5.0)


@dataclass(frozen=True, slots=True)
class Quirks:
    """How a target differs, as data; `stream_options` says whether it accepts that field.

    `narrow_tools` marks a target that ignores a `tool_choice` which names tools: it is sent those tools alone. `gbnf` is
    one that compiles JSON schemas as llama.cpp does. `any_pattern` takes patterns that no linear engine has, as text.
    """

    rename: Mapping[str, str] = field(default_factory=dict, hash=False)
    drop: frozenset[str] = frozenset()
    set: Mapping[str, Any] = field(default_factory=dict, hash=False)
    reject: frozenset[str] = frozenset()
    usage: tuple[str, ...] = ("usage",)
    stream_options: bool = True
    narrow_tools: bool = False
    gbnf: bool = False
    any_pattern: bool = False


# What llama-server takes and ignores, or fails on, tried on the bundled release. `n` works there, but its usage
# counts one choice only, and an answer that cannot be billed right is not given.
ENGINE_QUIRKS: Final = Quirks(
    reject=frozenset(
        {
            "audio",
            "best_of",
            "dimensions",
            "echo",
            "file",
            "function_call",
            "functions",
            "input_audio",
            "moderation",
            "n",
            "prediction",
            "service_tier",
            "suffix",
            "tools.custom",
            "verbosity",
            "web_search_options",
        }
    ),
    narrow_tools=True,
    gbnf=True,
)


@dataclass(frozen=True, slots=True)
class Target:
    """One upstream; `base_url` has no last slash, and is `engine:MODEL` for an embedded model."""

    name: str
    base_url: str
    api_key: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    dialects: frozenset[str] = frozenset()
    images: Handling = "relay"
    quirks: Quirks = field(default_factory=Quirks)
    timeouts: Timeouts = field(default_factory=Timeouts)
    breaker_failures: int = 5
    breaker_seconds: float = 10.0
    capacity: int | None = None
    health_path: str | None = None
    health_seconds: float = 10.0
    probe_timeouts: Timeouts = PROBE_TIMEOUTS
    verify_tls: bool = True

    @property
    def embedded(self) -> bool:
        return self.base_url.startswith(ENGINE_PREFIX)


@dataclass(frozen=True, slots=True)
class Route:
    """A target, what it calls the model, its share of the requests, and what becomes of images on this way."""

    target: Target
    model: str
    weight: int = 1
    images: Handling = "relay"


@dataclass(frozen=True, slots=True)
class Deployment:
    """A public model name; `created` is in Unix seconds, `capabilities` the dialects that any route speaks.

    `images` is `refuse` where no route takes any, and `fetch` where one wants them fetched.
    """

    name: str
    routes: tuple[Route, ...]
    strategy: Literal["ordered", "weighted"]
    price: Price
    context: int | None
    windows: tuple[str, ...]
    attempts: int
    owned_by: str
    created: int
    capabilities: frozenset[str]
    images: Handling = "relay"


@dataclass(frozen=True, slots=True)
class EmbeddedModel:
    """A model that the embedded engine serves; `capacity` bounds the requests that it holds, waiting ones included."""

    name: str
    context: int | None
    owned_by: str
    created: int
    embeddings: bool
    capacity: int | None = None


@dataclass(frozen=True, slots=True)
class Catalog:
    """All deployments and targets, by name."""

    deployments: dict[str, Deployment]
    targets: dict[str, Target]

    def resolve(self, name: str) -> Deployment:
        """The deployment of a public name; NotFound, with what there is instead."""
        deployment = self.deployments.get(name)
        if deployment is None:
            raise NotFound(self._not_found(name), param="model", code="model_not_found")
        return deployment

    def diff(self, new: "Catalog") -> list[str]:
        """What changes from here to `new`, a line each; credentials are never shown."""
        return [
            *_changes("targets", self.targets, new.targets),
            *_changes("models", self.deployments, new.deployments),
        ]

    def _not_found(self, name: str) -> str:
        shown = name if len(name) <= LONGEST_SHOWN else f"{name[:LONGEST_SHOWN]}..."
        text = f"The model `{shown}` does not exist or you do not have access to it."
        if not self.deployments:
            return f"{text} This server has no models yet; add a [models.NAME] table to its configuration."
        known = sorted(self.deployments)
        close = difflib.get_close_matches(shown, known[:MOST_COMPARED], n=MOST_NAMED)
        if close:
            return f"{text} Did you mean {_listed(close)}? GET /v1/models lists all models."
        return f"{text} Available here: {_listed(known[:MOST_NAMED])}. GET /v1/models lists all models."


def build(config: Config, embedded: Sequence[EmbeddedModel] = (), *, created: int = 0) -> Catalog:
    """The catalog of a configuration whose secrets were read; `created` dates models that give no date.

    A configured model wins over an embedded one of the same name. ConfigError if a route leads to an
    embedded model that is not there.
    """
    targets = {name: _target(name, each) for name, each in config.targets.items()}
    engines = {each.name: _engine(each) for each in embedded}
    deployments = {each.name: _embedded(each, engines[each.name]) for each in embedded}
    for name, model in config.models.items():
        deployments[name] = _deployment(name, model, targets, engines, created)
    used = {route.target.name: route.target for each in deployments.values() for route in each.routes}
    return Catalog(deployments=deployments, targets=used | targets)


def _target(name: str, config: TargetConfig) -> Target:
    if unread(config):
        raise ValueError(f"the secrets of target {name} were not read")
    timeouts, breaker = config.timeouts, config.breaker
    return Target(
        name=name,
        base_url=config.base_url,
        api_key=config.api_key,
        headers=tuple(config.headers.items()),
        dialects=frozenset(config.dialects),
        images=config.images or ("refuse" if "image_url" in config.quirks.reject else "relay"),
        quirks=_quirks(config.quirks),
        timeouts=Timeouts(timeouts.connect, timeouts.first_byte, timeouts.idle),
        breaker_failures=breaker.failures,
        breaker_seconds=breaker.open_seconds,
        capacity=config.capacity,
        health_path=config.health,
        health_seconds=config.health_seconds,
        verify_tls=config.verify_tls,
    )


def _quirks(config: QuirksConfig) -> Quirks:
    return Quirks(
        rename=config.rename,
        drop=frozenset(config.drop),
        set=config.set,
        reject=frozenset(config.reject),
        usage=tuple(config.usage.split(".")),
        stream_options=not config.no_stream_options,
        narrow_tools=config.narrow_tools,
        gbnf=config.gbnf,
        any_pattern=config.any_pattern,
    )


def _engine(model: EmbeddedModel) -> Target:
    name = ENGINE_PREFIX + model.name
    dialects = {"chat", "completions"} | ({"embeddings"} if model.embeddings else set())
    return Target(
        name=name,
        base_url=name,
        dialects=frozenset(dialects),
        images="refuse",
        quirks=ENGINE_QUIRKS,
        breaker_failures=UNBREAKABLE,
        capacity=model.capacity,
    )


def _embedded(model: EmbeddedModel, target: Target) -> Deployment:
    return Deployment(
        name=model.name,
        routes=(Route(target, model.name, images=target.images),),
        strategy="ordered",
        price=Price.free,
        context=model.context,
        windows=("asap",),
        attempts=2,  # one more if the engine died before its first byte
        owned_by=model.owned_by,
        created=model.created,
        capabilities=target.dialects,
        images=target.images,
    )


def _deployment(
    name: str, config: ModelConfig, targets: dict[str, Target], engines: dict[str, Target], created: int
) -> Deployment:
    routes = tuple(_route(name, each, targets, engines, images=config.images) for each in config.routes())
    return Deployment(
        name=name,
        routes=routes,
        strategy=config.strategy or "ordered",
        price=parse(config.price),
        context=config.context,
        windows=tuple(config.windows),
        attempts=config.attempts,
        owned_by=config.owned_by,
        created=created if config.created is None else config.created,
        capabilities=frozenset[str]().union(*(route.target.dialects for route in routes)),
        images=_images(routes),
    )


def _images(routes: Sequence[Route]) -> Handling:
    """What becomes of images over all routes: an image that was fetched once suits every target."""
    kinds = {route.images for route in routes}
    return "fetch" if "fetch" in kinds else "relay" if "relay" in kinds else "refuse"


def _route(
    name: str,
    config: RouteConfig,
    targets: dict[str, Target],
    engines: dict[str, Target],
    *,
    images: Handling | None,
) -> Route:
    weight = config.weight or 1
    if not config.target.startswith(ENGINE_PREFIX):
        target = targets[config.target]
        return Route(target, config.model or name, weight, images or target.images)
    model = config.target.removeprefix(ENGINE_PREFIX)
    if model not in engines:
        there = nearest(model, engines) if engines else "; there are none here (see `ingot doctor`)"
        raise ConfigError.at(f"models.{quoted(name)}.targets", f'no embedded model is named "{model}"{there}')
    return Route(engines[model], config.model or model, weight, images or engines[model].images)


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _changes(section: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*old, *new}):
        place = f"{section}.{quoted(name)}"
        if name not in new:
            yield f"{place}: removed"
        elif name not in old:
            yield f"{place}: added"
        else:
            yield from (f"{place}: {line}" for line in _field_changes(old[name], new[name]))


def _field_changes(old: Any, new: Any) -> Iterator[str]:
    """`price free -> 0.15/0.6` for each field that differs; fields hidden from repr are only named."""
    for each in fields(old):
        before, after = getattr(old, each.name), getattr(new, each.name)
        if each.name in UNLISTED or before == after:
            continue
        if not each.repr:
            yield f"{each.name} changed"
        elif _shown(before) != _shown(after):
            yield f"{each.name} {_shown(before)} -> {_shown(after)}"


def _shown(value: Any) -> str:
    """A field's value as a diff shows it."""
    if isinstance(value, tuple | frozenset):
        parts = [_shown(each) for each in value]
        return ", ".join(sorted(parts) if isinstance(value, frozenset) else parts) or "none"
    if isinstance(value, Route):
        renamed = f"{value.target.name}/{value.model}"
        return renamed if value.weight == 1 else f"{renamed} x{value.weight}"
    if isinstance(value, Timeouts):
        return "/".join(f"{getattr(value, each.name):g}" for each in fields(value))
    if isinstance(value, Quirks):
        return repr({each.name: getattr(value, each.name) for each in fields(value)})
    return "none" if value is None else str(value)
