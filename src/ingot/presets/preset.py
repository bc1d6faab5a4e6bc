"""A preset with everything resolved: what the server asks while it answers.

Money is in integers of 1e-12 USD and factors in parts per million, as the store has them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from ingot.deliveries import Policy
from ingot.dialects.envelope import ErrorTable, Row
from ingot.errors import ApiError
from ingot.presets.answers import Answers
from ingot.presets.fields import Rules
from ingot.presets.sections import (
    ErrorsRow,
    ErrorsTable,
    HeaderForm,
    LimitHeaders,
    ModelExtra,
    PlanRow,
    PresetFile,
    Rule,
    Told,
)
from ingot.pricing import UNITS_PER_USD

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class KeyRules:
    """What keys look like, where they may stand, and how many one account may have; None: as many as its plan says."""

    prefix: str
    headers: frozenset[HeaderForm]
    most: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that ships; None is no limit. The names are those of the store's columns."""

    name: str
    rpm: int | None
    tpm: int | None
    concurrency: int | None
    keys: int | None
    models: tuple[str, ...] | None
    price_factor: int
    weight: int
    monthly_credits: int
    monthly_price: int


@dataclass(frozen=True, slots=True)
class Idempotency:
    """The headers that carry a retry's key, by surface, in lower case; a surface without any has no such keys."""

    longest: int
    headers: Mapping[str, tuple[str, ...]]

    def names(self, surface: str) -> tuple[str, ...]:
        """The headers of a surface, the first one first."""
        return self.headers.get(surface, ())


@dataclass(frozen=True, slots=True)
class Background:
    """Which surfaces take work that nobody waits for, and the status that says so."""

    surfaces: frozenset[str]
    status: int


@dataclass(frozen=True, slots=True)
class BatchRules:
    """Which surfaces' requests may be batched, what a batch may be made with, and how batches are told."""

    endpoints: frozenset[str]
    fields: frozenset[str]
    form: Literal["object", "plain"]


@dataclass(frozen=True, slots=True)
class Webhooks:
    """Which surfaces call when they are done, how often that is tried, and whether an unusable address is told."""

    surfaces: frozenset[str]
    policy: Policy
    told: bool


@dataclass(frozen=True, slots=True)
class Preset:
    """One preset; `rules` has the surfaces whose requests are ruled over, compiled from `fields`.

    `answers` has those whose answers are, compiled from `looks`; `stores` says what `store` counts as where a request does not give it; `tree` is the data that all of it comes from.
    """

    name: str
    about: str
    extends: str | None
    surfaces: frozenset[str]
    keys: KeyRules
    plans: Mapping[str, Plan]
    default_plan: str
    errors: ErrorTable
    envelope: Literal["surface", "openai"]
    versions: Literal["checked", "ignored"]
    limit_headers: tuple[LimitHeaders, ...]
    stores: bool
    idempotency: Idempotency
    model_extras: frozenset[ModelExtra]
    background: Background
    batches: BatchRules
    webhooks: Webhooks
    rules: Mapping[str, Rules]
    fields: Mapping[str, Mapping[str, Rule]] = field(repr=False)
    answers: Mapping[str, Answers]
    looks: Mapping[str, Mapping[str, Told]] = field(repr=False)
    tree: Mapping[str, Any] = field(repr=False)

    def offers(self, surface: str) -> bool:
        """Whether a surface is there; where it is not, the answer is that nothing is found."""
        return surface in self.surfaces


def resolve(name: str, file: PresetFile, tree: Mapping[str, Any]) -> Preset:
    """The preset of a checked file."""
    return Preset(
        name=name,
        about=file.about,
        extends=file.extends,
        surfaces=frozenset(file.surfaces),
        keys=KeyRules(file.keys.prefix, frozenset(file.keys.headers), file.keys.most),
        plans={key: _plan(key, row) for key, row in file.plans.rows.items()},
        default_plan=file.plans.default,
        errors=_errors(file.errors),
        envelope=file.errors.envelope,
        versions=file.messages.versions,
        limit_headers=tuple(dict.fromkeys(file.limits.headers)),
        stores=file.store.default,
        idempotency=Idempotency(
            file.idempotency.longest,
            {
                surface: tuple(headers)
                for surface, headers in file.idempotency.headers.items()
                if headers and surface in file.surfaces
            },
        ),
        model_extras=frozenset(file.models.extras),
        background=Background(
            frozenset(file.background.surfaces) & frozenset(file.surfaces), file.background.status
        ),
        batches=BatchRules(
            frozenset(file.batches.endpoints) & frozenset(file.surfaces),
            frozenset(file.batches.fields),
            file.batches.form,
        ),
        webhooks=Webhooks(
            frozenset(file.webhooks.surfaces) & frozenset(file.surfaces),
            Policy(tuple(file.webhooks.waits), file.webhooks.seconds),
            file.webhooks.told,
        ),
        rules={surface: rules for surface, table in file.fields.items() if (rules := Rules(table))},
        fields=file.fields,
        answers={
            surface: told
            for surface, table in file.answers.items()
            if (told := Answers(table, surface=surface))
        },
        looks=file.answers,
        tree=tree,
    )


def error_classes() -> dict[str, type[ApiError]]:
    """Every class of the tree of errors, by name."""
    found: dict[str, type[ApiError]] = {}
    ahead = [ApiError]
    while ahead:
        kind = ahead.pop()
        if kind.__module__ == ApiError.__module__:
            found[kind.__name__] = kind
            ahead.extend(kind.__subclasses__())
    return found


def _plan(name: str, row: PlanRow) -> Plan:
    return Plan(
        name=name,
        rpm=row.rpm,
        tpm=row.tpm,
        concurrency=row.concurrency,
        keys=row.keys,
        models=None if row.models is None else tuple(row.models),
        price_factor=_exact(row.price_factor, MILLION),
        weight=row.weight,
        monthly_credits=_exact(row.monthly_credits, UNITS_PER_USD),
        monthly_price=_exact(row.monthly_price, UNITS_PER_USD),
    )


def _exact(value: Decimal, unit: int) -> int:
    return int(value * unit)


def _errors(table: ErrorsTable) -> ErrorTable:
    known = error_classes()
    rows = {name: _row(row) for name, row in table.rows.items()}
    return ErrorTable(
        keys=tuple(table.keys),
        classes={known[name]: row for name, row in rows.items() if name in known},
        codes={name: row for name, row in rows.items() if name not in known},
        statuses=frozenset(table.statuses),
    )


def _row(row: ErrorsRow) -> Row:
    return Row(
        status=row.status,
        type=row.type,
        code=row.code,
        message=row.message,
        keys=None if row.keys is None else tuple(row.keys),
    )
