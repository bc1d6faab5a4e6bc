"""Targets that cannot take a request: they are passed over where another one of the model can, and nothing is sent to them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from batchhouse import Scene, chat, make, over, results, said
from rig import fresh_id, stage

CONFIG = """
    [targets]
    none = { base_url = "{up}", dialects = ["chat"], headers = { x-target = "none" }, quirks = { reject = ["logit_bias", "seed"] } }
    seeds = { base_url = "{up}", dialects = ["chat"], headers = { x-target = "seeds" }, quirks = { reject = ["logit_bias"] } }
    broken = { base_url = "{up}", dialects = ["chat"], headers = { x-target = "broken", x-script = "fail 500" } }
    speaks = { base_url = "{up}", dialects = ["messages"], headers = { x-target = "speaks" } }
    [models]
    two = { targets = ["none", "seeds"], price = "free" }
    frail = { targets = ["broken", "none"], price = "free", attempts = 3 }
    mixed = { targets = ["speaks", "none"], price = "free" }
"""
SEED: dict[str, Any] = {"seed": 7}
BIAS: dict[str, Any] = {"logit_bias": {"1": 1}}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("choosy"), CONFIG) as both:
        yield both


def asked(scene: Scene, model: str, fields: dict[str, Any]) -> tuple[int, Any, list[str]]:
    """The status, the body, and which targets were asked."""
    served, upstream = scene
    key = fresh_id()
    status, _, body = served.call("/v1/chat/completions", chat(f"echo: {key}", model=model, **fields))
    calls = [call for call in upstream.up.log if key.encode() in call.body]
    return status, json.loads(body), [dict(call.headers)["x-target"] for call in calls]


def test_next_target_answers_when_the_first_cannot_take_a_field(scene: Scene) -> None:
    """It is not asked at all."""
    assert asked(scene, "two", {})[2] == ["none"]
    status, _, targets = asked(scene, "two", SEED)
    assert (status, targets) == (200, ["seeds"])


def test_refusal_is_the_first_one_when_no_target_takes_a_field(scene: Scene) -> None:
    """A 400 that names it, and nobody was asked."""
    status, told, targets = asked(scene, "two", BIAS | SEED)
    assert (status, targets) == (400, [])
    assert told["error"]["param"] == "logit_bias"


def test_refusal_of_a_field_is_told_before_losses(scene: Scene) -> None:
    """One target speaks another dialect and would lose it, the other refuses it by name."""
    status, told, targets = asked(scene, "mixed", SEED)
    assert (status, told["error"]["param"], targets) == (400, "seed", [])


def test_failed_target_is_asked_again_when_the_other_cannot_take_a_field(scene: Scene) -> None:
    """The refusal of one hides no failure of the other: that is what the client hears of."""
    status, _, targets = asked(scene, "frail", SEED)
    assert (status, targets) == (502, ["broken"] * 3)


def test_batch_runs_when_only_its_second_target_takes_its_fields(scene: Scene) -> None:
    """What was taken at the door is answered."""
    served, _ = scene
    requests = [{"custom_id": "a", "params": chat("echo: over", model="two", **SEED)}]
    status, _, batch = make(served, requests)
    assert status == 200, batch
    over(served, batch["id"])
    assert said(results(served, batch["id"])["a"]) == "over"
