"""What a key may do: one frozen record of its own limits and of its organization's, read with the key.

    plan ∩ key -> models        plan -> rpm, tpm, concurrency, price, weight        key -> its own lower rpm and tpm

A change of any of it counts once the key is looked up again, 5 s later at most. Knows no request and no clock; a
model that a key may not use is told as one that does not exist, and listed nowhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from ingot.catalog import LONGEST_SHOWN, Catalog, Deployment
from ingot.errors import NotFound
from ingot.store.budgets import Budget
from ingot.store.keys import KeyFound

PAR = 1_000_000
"""A price factor of one, in parts per million."""


@dataclass(frozen=True, slots=True)
class Grant:
    """None is no limit; rates are per minute and count for the organization, those of `key_...` for the key alone."""

    plan: str = "operator"
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    key_rpm: int | None = None
    key_tpm: int | None = None
    models: frozenset[str] | None = None
    price_factor: int = PAR
    weight: int = 1
    prepaid: bool = False
    keep_content: bool = True
    retention_days: int | None = None  # the server's
    budgets: tuple[Budget, ...] = ()  # all that a request with this key spends from


def read_grant(found: KeyFound) -> Grant:
    """The grant of a key as it was found."""
    plan, key = found.plan, found.key
    return Grant(
        plan=plan.name,
        rpm=plan.rpm,
        tpm=plan.tpm,
        concurrency=plan.concurrency,
        key_rpm=key.rpm,
        key_tpm=key.tpm,
        models=_both(read_models(plan.models), read_models(key.models)),
        price_factor=plan.price_factor,
        weight=plan.weight,
        prepaid=found.prepaid,
        keep_content=found.keep_content,
        retention_days=found.retention_days,
        budgets=found.budgets,
    )


def read_models(stored: str | None) -> frozenset[str] | None:
    """An allow-list as it is stored; None allows all."""
    return None if stored is None else frozenset(msgspec.json.decode(stored, type=list[str]))


def write_models(names: Iterable[str] | None) -> str | None:
    """An allow-list for the store, in order and without repeats."""
    return None if names is None else msgspec.json.encode(sorted(set(names))).decode()


def allows(grant: Grant, model: str) -> bool:
    """Whether a request may ask for this model."""
    return grant.models is None or model in grant.models


def deployment_for(catalog: Catalog, grant: Grant, *, model: str) -> Deployment:
    """The deployment of a public name; NotFound, word for word the same where it is unknown and where it is not allowed."""
    if grant.models is None or (model in grant.models and model in catalog.deployments):
        return catalog.resolve(model)
    known = {each.name: each for each in deployments_for(catalog, grant)}
    if known:
        return Catalog(known, {}).resolve(model)
    raise NotFound(
        f"The model `{model[:LONGEST_SHOWN]}` does not exist or you do not have access to it. This key may use no "
        f"model of this server: ask for another key, or another plan.",
        param="model",
        code="model_not_found",
    )


def deployments_for(catalog: Catalog, grant: Grant) -> list[Deployment]:
    """The deployments that a key may use, in the catalog's order."""
    return [each for name, each in catalog.deployments.items() if allows(grant, name)]


def _both(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None:
        return other
    return one if other is None else one & other
