"""The catalog: which public model names there are, and where requests for each of them go.

    Deployment (public name) --routes--> Route (model, weight) --> Target (address, credential, quirks)

Built whole from a Config and the embedded models, and replaced whole on a reload. Refuses to know how a
target is called, whether it works, and which route is taken.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from ingot.config import (
    ENGINE_PREFIX,
    CardConfig,
    Config,
    ConfigError,
    Handling,
    ModelConfig,
    QuirksConfig,
    RouteConfig,
    TargetConfig,
    first_second,
    nearest,
    quoted,
    unread,
)
from ingot.errors import NotFound
from ingot.pricing import Price, parse
from ingot.scheduling.windows import WINDOWS, Window
from ingot.windows import build as build_windows

MOST_NAMED: Final = 5  # models that an error names
MOST_COMPARED: Final = 200  # a comparison costs some 20 us, and unknown names cost their sender nothing
LONGEST_SHOWN: Final = 100
TRANSLATED: Final = frozenset({"chat", "responses", "messages"})
"""Dialects that are translated into each other: whoever speaks one of them serves all."""
PRINCIPLED: Final = frozenset({*TRANSLATED, "embeddings"})
"""Dialects that serve models with a constitution: they have a place for it, or give no words of the model's own."""
NONE: Final[Mapping[str, str]] = {}
REFUSAL_MARK: Final = "[refusal]"


def refusal_rule(mark: str = REFUSAL_MARK) -> str:
    """What makes a refusal one that can be told from an answer; it follows every constitution."""
    return (
        f"If these principles oblige you to refuse, begin your answer with {mark} and say why in a sentence or two. "
        f"Begin no other answer with {mark}."
    )


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
    one that compiles JSON schemas as llama.cpp does.
    `silent` are the target's tokens that its grammar takes for their names and its answers show as nothing. `tells_stop`
    is one that says which stop sequence it met where it is asked as llama.cpp is. `guarded` is one that gets no field which
    no reference names.
    """

    rename: Mapping[str, str] = field(default_factory=dict, hash=False)
    drop: frozenset[str] = frozenset()
    set: Mapping[str, Any] = field(default_factory=dict, hash=False)
    reject: frozenset[str] = frozenset()
    usage: tuple[str, ...] = ("usage",)
    stream_options: bool = True
    narrow_tools: bool = False
    gbnf: bool = False
    tells_stop: bool = False
    guarded: bool = False
    silent: tuple[int, ...] = field(default=(), hash=False)


# What llama-server takes and ignores, or fails on, tried on the bundled release. `n` works there, but its usage
# counts one choice only, and an answer that cannot be billed right is not given. Fields of its own that would change an
# answer are refused by name; all others that no reference names are left out, see `dialects.unnamed`.
_REFUSED: Final = frozenset(
    {
        "audio", "best_of", "chat_template", "dimensions", "echo", "file", "function_call", "functions",
        "grammar", "input_audio", "json_schema", "moderation", "n", "n_cmpl", "n_predict",
        "n_probs", "prediction", "reasoning_format", "response_fields", "service_tier", "suffix",
        "tools.custom", "verbose", "verbosity", "web_search_options",
    }
)  # fmt: skip
ENGINE_QUIRKS: Final = Quirks(reject=_REFUSED, narrow_tools=True, gbnf=True, tells_stop=True, guarded=True)


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
    """A public model name; `created` is in Unix seconds, `capabilities` the dialects that it serves.

    Those are what any of its targets speaks, and what that can be translated into; `on_loss` says what becomes of a
    request of which a translation would leave out what may change the answer. Where it will end, `deprecated` says since when that is
    told and `shutdown_date` on which day. `images` is `refuse` where no route takes any, and `fetch` where one wants them
    fetched. `constitution` is the text that goes before every request, `added` its bytes; `refusal_mark` begins refusals.
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
    deprecated: int | None = None
    shutdown_date: str | None = None
    on_loss: Literal["refuse", "warn"] = "refuse"
    unknown_thoughts: Literal["drop", "relay"] = "drop"
    account_ids: Literal["refuse", "relay"] = "refuse"
    images: Handling = "relay"
    constitution: str | None = field(default=None, repr=False)
    added: int = 0
    refusal_mark: str | None = None
    card: CardConfig | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class EmbeddedModel:
    """A model that the embedded engine serves; `capacity` bounds the requests that it holds, waiting ones included.

    `silent` are its tokens without text.
    """

    name: str
    context: int | None
    owned_by: str
    created: int
    embeddings: bool
    capacity: int | None = None
    silent: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Catalog:
    """All deployments, targets and completion windows, by name."""

    deployments: dict[str, Deployment]
    targets: dict[str, Target]
    windows: Mapping[str, Window] = field(default_factory=lambda: WINDOWS)

    def resolve(self, name: str) -> Deployment:
        """The deployment of a public name; NotFound, with what there is instead."""
        deployment = self.deployments.get(name)
        if deployment is None:
            raise NotFound(self._not_found(name), param="model", code="model_not_found")
        return deployment

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


def build(
    config: Config,
    embedded: Sequence[EmbeddedModel] = (),
    *,
    created: int = 0,
    constitutions: Mapping[str, str] = NONE,
) -> Catalog:
    """The catalog of a configuration whose secrets were read; `created` dates models that give no date.

    `constitutions` are the texts of those that models name. A configured model wins over an embedded one of the same name.
    ConfigError if a route leads to an embedded model that is not there.
    """
    targets = {name: _target(name, each) for name, each in config.targets.items()}
    engines = {each.name: _engine(each) for each in embedded}
    deployments = {each.name: _embedded(each, engines[each.name]) for each in embedded}
    for name, model in config.models.items():
        if model.constitution is not None and name not in constitutions:
            raise ValueError(f"the constitution of model {name} was not read")
        made = _deployment(name, model, targets, engines, created)
        deployments[name] = _principled(made, constitutions[name]) if name in constitutions else made
    used = {route.target.name: route.target for each in deployments.values() for route in each.routes}
    return Catalog(deployments, used | targets, build_windows(config.windows))


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
    )


def _engine(model: EmbeddedModel) -> Target:
    name = ENGINE_PREFIX + model.name
    dialects = {"chat", "completions"} | ({"embeddings"} if model.embeddings else set())
    return Target(
        name=name,
        base_url=name,
        dialects=frozenset(dialects),
        images="refuse",
        quirks=replace(ENGINE_QUIRKS, silent=model.silent),
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
        capabilities=_served([target]),
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
        deprecated=None if config.deprecated is None else first_second(config.deprecated),
        shutdown_date=config.shutdown_date,
        capabilities=_served([route.target for route in routes]),
        on_loss=config.on_loss,
        unknown_thoughts=config.unknown_thoughts,
        account_ids=config.account_ids,
        images=_images(routes),
        refusal_mark=config.refusal_mark,
        card=config.card,
    )


def _served(targets: Sequence[Target]) -> frozenset[str]:
    """The dialects that targets serve, translations included."""
    spoken = frozenset[str]().union(*(target.dialects for target in targets))
    return spoken if spoken.isdisjoint(TRANSLATED) else spoken | TRANSLATED


def _principled(made: Deployment, text: str) -> Deployment:
    """A deployment with its constitution; ConfigError where no target has a place for it."""
    if made.capabilities.isdisjoint(TRANSLATED):
        place = f"models.{quoted(made.name)}.constitution"
        named = " or ".join(sorted(TRANSLATED))
        raise ConfigError.at(
            place, f"needs a target that speaks {named}; no other dialect has a place for it"
        )
    mark = made.refusal_mark or REFUSAL_MARK
    whole = f"{text}\n\n{refusal_rule(mark)}"
    return replace(
        made,
        constitution=whole,
        added=len(whole.encode()),
        refusal_mark=mark,
        capabilities=made.capabilities & PRINCIPLED,
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
