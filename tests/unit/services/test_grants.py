"""Grants: which models a key may use, and that a forbidden one reads like an unknown one."""

import pytest

from ingot.catalog import Catalog, Deployment
from ingot.errors import NotFound
from ingot.pricing import Price
from ingot.services.grants import Grant, allows, deployment_for, deployments_for, read_models, write_models


def _deployment(name: str) -> Deployment:
    return Deployment(
        name=name,
        routes=(),
        strategy="ordered",
        price=Price.free,
        context=None,
        windows=("asap",),
        attempts=1,
        owned_by="local",
        created=0,
        capabilities=frozenset(),
    )


CATALOG = Catalog({name: _deployment(name) for name in ("large", "small", "secret-large")}, {})


def _refusal(grant: Grant, model: str) -> str:
    with pytest.raises(NotFound) as caught:
        deployment_for(CATALOG, grant, model=model)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    return caught.value.message


def test_all_models_are_open_when_nothing_limits_them() -> None:
    """Without an allow-list the catalog decides."""
    assert deployment_for(CATALOG, Grant(), model="large").name == "large"
    assert [each.name for each in deployments_for(CATALOG, Grant())] == ["large", "small", "secret-large"]
    assert "Available here: `large`, `secret-large`" in _refusal(Grant(), "qwertz")


def test_model_reads_as_unknown_when_it_is_not_allowed() -> None:
    """Nothing tells it from one that does not exist, and no hint or list names it."""
    grant = Grant(models=frozenset({"large", "small", "planned"}))
    assert deployment_for(CATALOG, grant, model="small").name == "small"
    assert [each.name for each in deployments_for(CATALOG, grant)] == ["large", "small"]
    assert [allows(grant, name) for name in ("small", "secret-large")] == [True, False]
    forbidden = _refusal(grant, "secret-large")
    assert forbidden.replace("secret-large", "secret-karge") == _refusal(grant, "secret-karge")
    assert "secret-large" not in _refusal(grant, "secret-larg")


def test_text_says_what_to_do_when_no_model_is_allowed() -> None:
    """A key whose models are all gone is not told that the server is empty."""
    assert "may use no model of this server" in _refusal(Grant(models=frozenset({"gone"})), "large")


def test_allow_list_is_the_same_when_read_again() -> None:
    """In order, without repeats; no list is no limit, and an empty one allows nothing."""
    assert write_models(("b", "a", "b")) == '["a","b"]'
    assert read_models(write_models(("b", "a"))) == frozenset({"a", "b"})
    assert read_models(write_models(())) == frozenset()
    assert write_models(None) is None
    assert read_models(None) is None
