"""Quotes of batches through a whole server: what they say is what a batch of the same requests would."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quotehouse import BODIES, CONFIG, quote, quoted, refused
from rig import Backstage, stage
from served import Served

Scene = tuple[Served, Backstage]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("quotes"), CONFIG) as both:
        yield both


def pieces(count: int, **more: Any) -> list[dict[str, Any]]:
    """Requests of a batch."""
    return [
        {"custom_id": f"r{number}", "params": {**BODIES["/v1/responses"], **more}} for number in range(count)
    ]


def test_requests_are_quoted_in_their_own_windows(scene: Scene) -> None:
    """Each that names one costs what it does there and is due then, however it is named; the rest go where the batch does."""
    served, _ = scene
    batch = {"endpoint": "/v1/responses"}
    plain = quoted(served, **batch, requests=pieces(10))
    for own in ({"metadata": {"completion_window": "flex"}}, {"service_tier": "flex"}):
        flex = quoted(served, **batch, requests=pieces(10, **own))
        assert (flex["completion_window"], flex["price"]["factor"]) == ("flex", 0.5)
        assert float(flex["price"]["expected_usd"]) == pytest.approx(
            float(plain["price"]["expected_usd"]) / 2, rel=0.2
        )
        assert flex["due_at"] - flex["created_at"] == pytest.approx(86_400, abs=1)
    mixed = [*pieces(20)[10:], *pieces(10, service_tier="flex")]
    both = quoted(served, **batch, requests=mixed, windows="all")
    assert (both["requests"], both["price"]["factor"], both["models"]) == (20, 0.75, ["mock"])
    assert both["completion_window"] == "flex"
    assert float(both["price"]["most_usd"]) == pytest.approx(
        float(plain["price"]["most_usd"]) + float(flex["price"]["most_usd"])
    )
    factors = {each["completion_window"]: each["price"]["factor"] for each in both["windows"]}
    assert factors == {"standard": 0.75, "flex": 0.5}


def test_price_is_never_negative_however_far_down_the_fault_is(scene: Scene) -> None:
    """The 101st request is judged like the first."""
    served, _ = scene
    batch = pieces(101)
    batch[100]["params"]["max_output_tokens"] = -1_000_000_000
    param, text = refused(served, endpoint="/v1/responses", requests=batch)
    assert (param, "requests[100]" in text) == ("requests[100].params.max_output_tokens", True), text


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"params": {**BODIES["/v1/responses"], "stream": True}}, "requests[2].params.stream"),
        ({"custom_id": "r0"}, "requests[2].custom_id"),
        ({"custom_id": "a b"}, "requests[2].custom_id"),
        ({"custom_id": "results"}, "requests[2].custom_id"),
        ({"params": {"model": "mock"}}, "requests[2].params.input"),
        ({"params": {**BODIES["/v1/responses"], "temperature": 9}}, "requests[2].params.temperature"),
        ({"x": 1}, "requests[2].x"),
        (
            {"params": {**BODIES["/v1/responses"], "metadata": {"completion_window": "asap"}}},
            "requests[2].params.metadata.completion_window",
        ),
    ],
    ids=["stream", "name twice", "name", "hidden", "missing", "value", "unknown", "asap"],
)
def test_no_quote_is_given_for_what_a_batch_refuses(
    scene: Scene, changed: dict[str, Any], param: str
) -> None:
    """Both name the same place, and the same code."""
    served, _ = scene
    batch = pieces(3)
    batch[2] |= changed
    status, told = quote(served, endpoint="/v1/responses", requests=batch)
    assert (status, told["error"]["param"]) == (400, param), told
    status, _, answer = served.call("/v1/batches", {"endpoint": "/v1/responses", "requests": batch})
    same = json.loads(answer)["error"]
    assert (status, same["param"], same["code"]) == (400, param, told["error"]["code"])


def test_first_faults_are_told_together_when_a_batch_has_many(scene: Scene) -> None:
    """Ten of them."""
    served, _ = scene
    param, text = refused(served, endpoint="/v1/responses", requests=pieces(12, temperature=9))
    assert param == "requests[0].params.temperature"
    assert ("(10) requests[9]" in text, "(11)" in text) == (True, False), text


def test_bodies_are_bounded_as_batches_are(tmp_path: Path) -> None:
    """By the same setting; below it as many requests are quoted as a batch may have."""
    with stage(tmp_path, CONFIG + "\n[batches]\nbody_bytes = 20000\nrequests = 5") as (served, _):
        batch = {"endpoint": "/v1/responses", "requests": pieces(5)}
        assert quoted(served, **batch)["requests"] == 5
        for path in ("/v1/quotes", "/v1/batches"):
            assert served.call(path, {**batch, "requests": pieces(6)})[0] == 400
            assert served.call(path, {**batch, "requests": pieces(1, instructions="x" * 20_000)})[0] == 413
        count = {"endpoint": "/v1/responses", "model": "mock", "input_tokens": 1, "output_tokens": 1}
        assert refused(served, **count, count=6)[0] == "count"
