"""From a configuration to the models that clients see."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.catalog import Catalog, EmbeddedModel, Quirks, Timeouts, build
from ingot.config import ConfigError, load
from ingot.differences import differences
from ingot.errors import NotFound
from ingot.pricing import Price, rates

DEMO = EmbeddedModel(name="demo-tiny", context=32768, owned_by="bundled-demo", created=17, embeddings=False)

TARGETS = """
[targets.a]
base_url = "http://127.0.0.1:1/v1"
api_key = "geheim"
[targets.b]
base_url = "https://b.example.org/v1"
dialects = ["chat", "messages"]
"""


def catalog(text: str, *embedded: EmbeddedModel) -> Catalog:
    return build(load(TARGETS + text, {}), embedded, created=99)


def model(name: str, targets: str, price: str = '"free"') -> str:
    return f'[models."{name}"]\ntargets = {targets}\nprice = {price}\n'


def test_build_when_model_has_two_targets() -> None:
    """A deployment holds its routes in order, with the target's name for the model and the capabilities of all."""
    text = model(
        "m", '["a", { target = "b", model = "their-m", weight = 3 }]', "{ input = 0.15, output = 0.6 }"
    )
    deployment = catalog(text).resolve("m")
    assert [(each.target.name, each.model, each.weight) for each in deployment.routes] == [
        ("a", "m", 1),
        ("b", "their-m", 3),
    ]
    assert deployment.strategy == "weighted"
    assert deployment.price == Price(rates(150_000, 600_000))
    assert deployment.capabilities == {"chat", "responses", "messages", "embeddings", "completions"}
    assert (deployment.created, deployment.attempts, deployment.windows) == (99, 3, ("asap",))


def test_build_when_model_is_announced_to_end() -> None:
    """Since when, in Unix seconds, and on which day; a model of which nothing is said has neither."""
    ending = model("m", '["a"]') + 'deprecated = "2026-11-01"\nshutdown_date = "2027-05-01"\n'
    found = catalog(ending + model("n", '["a"]'))
    assert (found.resolve("m").deprecated, found.resolve("m").shutdown_date) == (1_793_491_200, "2027-05-01")
    assert (found.resolve("n").deprecated, found.resolve("n").shutdown_date) == (None, None)


def test_build_when_target_says_everything() -> None:
    """Each setting of a target arrives in its record."""
    config = load(
        """
        [targets.t]
        base_url = "https://t/v1"
        api_key = "k"
        headers = { X-Team = "blue" }
        capacity = 4
        health = "/health"
        health_seconds = 3
        verify_tls = false
        timeouts = { connect = 1, first_byte = 2, idle = 3 }
        breaker = { failures = 7, open_seconds = 8 }
        quirks = { rename = { a = "b" }, drop = ["c"], set = { d = 1 }, reject = ["e"], usage = "x.y", no_stream_options = true }
        """,
        {},
    )
    target = build(config).targets["t"]
    assert target.headers == (("X-Team", "blue"),)
    assert (target.capacity, target.health_path, target.health_seconds, target.verify_tls) == (
        4,
        "/health",
        3,
        False,
    )
    assert target.timeouts == Timeouts(1, 2, 3)
    assert (target.breaker_failures, target.breaker_seconds) == (7, 8)
    assert target.quirks == Quirks(
        rename={"a": "b"},
        drop=frozenset({"c"}),
        set={"d": 1},
        reject=frozenset({"e"}),
        usage=("x", "y"),
        stream_options=False,
    )
    assert not target.embedded
    assert hash(target) == hash(build(config).targets["t"])


def test_build_when_models_are_embedded() -> None:
    """An embedded model is a free deployment with one route to a target of its own."""
    built = catalog("", DEMO)
    deployment = built.resolve("demo-tiny")
    assert deployment.routes[0].target.base_url == "engine:demo-tiny"
    assert deployment.routes[0].target.embedded
    assert (deployment.price, deployment.context, deployment.created) == (Price.free, 32768, 17)
    assert deployment.capabilities == {"chat", "completions", "responses", "messages"}
    assert set(built.targets) == {"a", "b", "engine:demo-tiny"}


def test_build_when_embedded_model_has_embeddings() -> None:
    """A model that can embed says so."""
    embedder = EmbeddedModel(name="e", context=None, owned_by="me", created=0, embeddings=True)
    assert "embeddings" in catalog("", embedder).resolve("e").capabilities


def test_build_when_configured_name_equals_embedded_one() -> None:
    """What the operator wrote wins; the embedded model's target then belongs to nobody."""
    built = catalog(model("demo-tiny", '["a"]'), DEMO)
    assert built.resolve("demo-tiny").routes[0].target.name == "a"
    assert "engine:demo-tiny" not in built.targets


def test_build_when_model_leads_to_embedded_one() -> None:
    """A public name may lead to an embedded model, also as a fallback."""
    deployment = catalog(model("small", '["a", "engine:demo-tiny"]'), DEMO).resolve("small")
    assert [(each.target.name, each.model) for each in deployment.routes] == [
        ("a", "small"),
        ("engine:demo-tiny", "demo-tiny"),
    ]


def test_build_when_embedded_model_is_missing() -> None:
    """A route to an embedded model that is not there is an error of the configuration."""
    with pytest.raises(ConfigError, match="did you mean `demo-tiny`") as caught:
        catalog(model("small", '["engine:demo-tinny"]'), DEMO)
    assert caught.value.path == "models.small.targets"
    with pytest.raises(ConfigError, match="there are none here"):
        catalog(model("small", '["engine:demo-tiny"]'))


def test_build_when_secrets_were_not_read() -> None:
    """The name of a secret's file is never sent as the secret."""
    config = load('[targets.a]\nbase_url = "https://a"\napi_key = "file:/x"\n', {})
    with pytest.raises(ValueError, match="were not read"):
        build(config)


def test_repr_when_target_has_secrets() -> None:
    """Neither credential nor headers show in a traceback."""
    assert "geheim" not in repr(catalog(model("m", '["a"]')))


def test_resolve_when_name_is_close() -> None:
    """A mistyped name is answered with the names that may have been meant."""
    built = catalog(model("org/big-model", '["a"]') + model("other", '["a"]'))
    with pytest.raises(NotFound) as caught:
        built.resolve("org/big-modle")
    assert caught.value.message == (
        "The model `org/big-modle` does not exist or you do not have access to it. "
        "Did you mean `org/big-model`? GET /v1/models lists all models."
    )
    assert (caught.value.status, caught.value.code, caught.value.param) == (404, "model_not_found", "model")


def test_resolve_when_name_is_unlike_all() -> None:
    """Then at most five names are given, and the place that lists all."""
    built = catalog("".join(model(f"model-{index}", '["a"]') for index in range(9)))
    with pytest.raises(NotFound) as caught:
        built.resolve("zzz" * 1000)
    assert "Available here: `model-0`, `model-1`, `model-2`, `model-3`, `model-4`." in caught.value.message
    assert len(caught.value.message) < 400


def test_resolve_when_there_are_no_models() -> None:
    """A server without models says how to add one."""
    with pytest.raises(NotFound, match=r"add a \[models.NAME\] table"):
        catalog("").resolve("x")


@settings(deadline=None)
@given(st.text())
def test_resolve_when_name_is_anything(name: str) -> None:
    """Any text is a model or a NotFound."""
    with pytest.raises(NotFound):
        catalog(model("m/1", '["a"]')).resolve(f"{name}?")


def test_diff_when_nothing_changed() -> None:
    """A reload of the same file, some time later, changes nothing."""
    config = load(TARGETS + model("m", '["a"]'), {})
    assert differences(build(config, [DEMO], created=1), build(config, [DEMO], created=2)) == []


def test_diff_when_things_changed() -> None:
    """Each change is a line; credentials are named and not shown."""
    old = catalog(model("m", '["a"]') + model("x/old", '["a"]'), DEMO)
    text = TARGETS.replace("geheim", "geheim2").replace('["chat", "messages"]', '["chat"]\ncapacity = 3')
    new = build(
        load(
            f'{text}[targets.c]\nbase_url = "https://c"\nquirks = {{ drop = ["x"] }}\n'
            + model(
                "m", '["b", { target = "c", model = "z", weight = 2 }]', "{ input = 0.15, output = 0.60 }"
            ),
            {},
        )
    )
    assert differences(old, new) == [
        "targets.a: api_key changed",
        "targets.b: dialects chat, messages -> chat",
        "targets.b: capacity none -> 3",
        "targets.c: added",
        'targets."engine:demo-tiny": removed',
        "models.demo-tiny: removed",
        "models.m: routes a/m -> b/m, c/z x2",
        "models.m: strategy ordered -> weighted",
        "models.m: price free -> 0.15/0.6",
        'models."x/old": removed',
    ]


def test_diff_when_quirks_and_timeouts_changed() -> None:
    """Nested settings are shown whole."""
    old = catalog("")
    new = build(
        load(TARGETS.replace("/v1", "/v1", 1) + "timeouts = { connect = 1 }\nquirks = { drop = ['x'] }\n", {})
    )
    lines = differences(old, new)
    assert "targets.b: timeouts 5/600/120 -> 1/600/120" in lines
    assert any(line.startswith("targets.b: quirks ") and "'x'" in line for line in lines)
