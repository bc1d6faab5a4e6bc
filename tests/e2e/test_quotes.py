"""Quotes and kept promises through a whole server: what is told before work is sent, and what is published once it is done."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from quotehouse import BODIES, CONFIG, quoted, refused, upload
from retryclient import rows
from rig import Backstage, fresh_id, stage, wait_until
from served import Served

Scene = tuple[Served, Backstage]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("quotes"), CONFIG) as both:
        yield both


def work(
    served: Served, *, model: str = "mock", window: str = "standard", text: str = "words: 4", name: str = ""
) -> tuple[int, Any]:
    """A response in the background."""
    body = {
        "model": model,
        "input": text,
        "background": True,
        "max_output_tokens": 50,
        "metadata": {"completion_window": window, "n": name or fresh_id()},
    }
    status, headers, answer = served.call("/v1/responses", body)
    return status, {**json.loads(answer), "retry-after": headers.get("retry-after")}


def done(served: Served, which: str) -> Any:
    """A response once it has ended."""

    def over() -> bool:
        return json.loads(served.call(f"/v1/responses/{which}")[2])["status"] not in {"queued", "in_progress"}

    wait_until(over, f"{which} has ended")
    return json.loads(served.call(f"/v1/responses/{which}")[2])


@pytest.mark.parametrize("endpoint", BODIES)
def test_body_of_any_surface_is_quoted(scene: Scene, endpoint: str) -> None:
    """The most is not below the expected; the window and its price are told; nothing is kept of it."""
    served, upstream = scene
    before = len(upstream.up.log)
    told = quoted(served, endpoint=endpoint, body=BODIES[endpoint])
    assert (told["object"], told["endpoint"], told["models"], told["requests"]) == (
        "quote",
        endpoint,
        ["mock"],
        1,
    )
    assert (told["completion_window"], told["accepted"], told["batch"]) == ("standard", True, False)
    assert 0 < float(told["price"]["expected_usd"]) <= float(told["price"]["most_usd"])
    assert told["starts_at"] <= told["finishes_at"] <= told["latest_at"]
    assert len(upstream.up.log) == before


def test_every_window_is_quoted_when_all_are_asked(scene: Scene) -> None:
    """In the model's order, each at its own price: flex costs half, priority half as much again."""
    served, _ = scene
    told = quoted(served, endpoint="/v1/responses", body=BODIES["/v1/responses"], windows="all")
    factors = {each["completion_window"]: each["price"]["factor"] for each in told["windows"]}
    assert factors == {"asap": 1.0, "priority": 1.5, "standard": 1.0, "flex": 0.5}
    costs = {each["completion_window"]: float(each["price"]["most_usd"]) for each in told["windows"]}
    assert costs["flex"] == pytest.approx(costs["standard"] / 2)
    due = {each["completion_window"]: each["due_at"] for each in told["windows"]}
    assert due["asap"] is None
    assert due["priority"] < due["standard"] < due["flex"]


def test_batch_is_quoted_where_it_would_be_taken(scene: Scene) -> None:
    """A model without a window for batches takes them in `standard`: that is quoted, and asap is refused."""
    served, _ = scene
    count = {
        "endpoint": "/v1/responses",
        "model": "plain",
        "count": 10,
        "input_tokens": 5,
        "output_tokens": 5,
    }
    assert quoted(served, **count)["completion_window"] == "standard"
    assert refused(served, **count, completion_window="asap")[0] == "completion_window"
    plain = {**count, "model": "narrow", "completion_window": "flex", "windows": "all"}
    told = quoted(served, **plain)
    assert told["completion_window"] == "standard"
    assert [each["completion_window"] for each in told["windows"]] == ["brief", "standard"]


def test_batch_is_quoted_in_each_of_its_forms(scene: Scene) -> None:
    """In full, in a file, and as a mere count: the same requests come to nearly the same."""
    served, _ = scene
    body = BODIES["/v1/responses"]
    pieces = [{"custom_id": f"r{number}", "params": body} for number in range(150)]
    full = quoted(served, endpoint="/v1/responses", requests=pieces)
    assert (full["requests"], full["batch"], full["completion_window"]) == (150, True, "standard")
    lines = "".join(
        json.dumps({"custom_id": f"r{n}", "method": "POST", "url": "/v1/responses", "body": body}) + "\n"
        for n in range(150)
    )
    file = upload(served, lines.encode())
    same = quoted(served, endpoint="/v1/responses", input_file_id=file, completion_window="24h")
    assert [same[name] for name in ("requests", "output_tokens")] == [full["requests"], full["output_tokens"]]
    assert float(same["price"]["most_usd"]) == pytest.approx(float(full["price"]["most_usd"]), rel=0.05)
    count = quoted(
        served,
        endpoint="/v1/responses",
        model="mock",
        count=150,
        input_tokens=full["input_tokens"] // 150,
        output_tokens=100,
        completion_window="flex",
    )
    assert (count["requests"], count["input_tokens"]) == (150, full["input_tokens"])
    assert count["due_at"] == pytest.approx(count["created_at"] + 86_400, abs=1)
    assert float(count["price"]["expected_usd"]) == pytest.approx(
        float(full["price"]["expected_usd"]) / 2, rel=0.01
    )


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({}, "endpoint", "Missing"),
        ({"endpoint": "/v1/nothing", "body": {}}, "endpoint", "/v1/responses"),
        ({"endpoint": "/v1/responses"}, "body", "none of them"),
        ({"endpoint": "/v1/responses", "body": {}, "input_file_id": "x"}, "input_file_id", "one of"),
        ({"endpoint": "/v1/responses", "body": {"model": "mock", "input": 3}}, "body.input", "input"),
        ({"endpoint": "/v1/responses", "body": {"model": "none", "input": "a"}}, "body.model", "none"),
        (
            {
                "endpoint": "/v1/responses",
                "body": {**BODIES["/v1/responses"], "metadata": {"completion_window": "flex"}},
            },
            "body.metadata.completion_window",
            "background",
        ),
        (
            {
                "endpoint": "/v1/responses",
                "requests": [{"custom_id": "a", "params": {"model": "mock"}}],
            },
            "requests[0].params.input",
            "input",
        ),
        ({"endpoint": "/v1/responses", "count": 3, "model": "mock"}, "input_tokens", "input_tokens"),
        ({"endpoint": "/v1/responses", "body": {}, "model": "mock"}, "model", "Leave it out"),
        (
            {
                "endpoint": "/v1/responses",
                "count": 3,
                "model": "mock",
                "input_tokens": 1,
                "output_tokens": 1,
                "completion_window": "asap",
            },
            "completion_window",
            "(standard, flex, brief)",
        ),
        ({"endpoint": "/v1/responses", "input_file_id": "file-none"}, "input_file_id", "file"),
        ({"endpoint": "/v1/responses", "body": BODIES["/v1/responses"], "sooner": 1}, "sooner", "sooner"),
    ],
)
def test_error_names_the_field(scene: Scene, fields: dict[str, Any], param: str, says: str) -> None:
    """The place of what is wrong, in the request for the quote."""
    served, _ = scene
    found, text = refused(served, **fields)
    assert (found, says in text) == (param, True), text


def test_line_is_named_when_a_file_has_a_bad_one(scene: Scene) -> None:
    """By its number."""
    served, _ = scene
    line = {"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": BODIES["/v1/responses"]}
    good = json.dumps(line)
    for bad in (
        "{",
        json.dumps({**line, "custom_id": "b", "body": {"model": "mock"}}),
        json.dumps({**line, "custom_id": "b", "url": "/v1/embeddings"}),
        json.dumps({**line, "custom_id": "b", "method": "GET"}),
        good,
    ):
        param, text = refused(
            served, endpoint="/v1/responses", input_file_id=upload(served, f"{good}\n{bad}\n".encode())
        )
        assert (param, "line 2" in text, "line 1" in text) == ("input_file_id", True, False), text


def test_kept_promises_are_published(scene: Scene) -> None:
    """What has ended in a window counts within the hour, the day and the month; its models and their prices are told."""
    served, _ = scene
    for _ in range(3):
        status, taken = work(served, window="flex")
        assert status == 200
        assert done(served, taken["id"])["status"] == "completed"
    listed = json.loads(served.call("/v1/windows")[2])
    windows = {each["id"]: each for each in listed["data"]}
    assert list(windows) == ["asap", "priority", "standard", "flex", "brief"]
    flex = windows["flex"]
    assert flex["models"] == [{"id": "mock", "factor": 0.5}]
    assert (flex["seconds"], flex["background_only"]) == (86_400.0, True)
    for kept in flex["requests"].values():
        assert (kept["promised"], kept["kept"], kept["share"], kept["refused"]) == (3, 3, 1.0, 0)
        assert 0 < kept["turn_p50"] <= kept["turn_p95"]
    assert flex["batches"]["last_24h"]["promised"] == 0
    assert windows["asap"]["batches"] is None


def test_work_is_refused_when_its_window_has_no_room(scene: Scene) -> None:
    """Of one target with one place: once its speed is known, what cannot be done in time is a 429 with a moment that holds."""
    served, _ = scene
    for _ in range(8):
        status, taken = work(served, model="narrow", text="words: 4 {{delay 0.1}}")
        assert status == 200
        done(served, taken["id"])
    told: Any = None
    names, let_in = [fresh_id() for _ in range(60)], []
    brief = {"model": "narrow", "window": "brief", "text": "words: 4 {{delay 0.1}}"}
    for name in names:
        status, told = work(served, **brief, name=name)
        if status == 429:
            break
        let_in.append(told["id"])
    else:
        pytest.fail("everything was let in")
    assert (told["error"]["code"], told["error"]["param"]) == ("capacity", "metadata.completion_window")
    assert int(told["retry-after"]) >= 1
    body = {"model": "narrow", "input": "x", "background": True, "max_output_tokens": 50}
    asked = {**body, "metadata": {"completion_window": "brief"}}
    same = quoted(served, endpoint="/v1/responses", body=asked)
    assert (same["accepted"], same["finishes_at"]) == (False, None)
    assert same["reason"] in {"share", "capacity"}
    assert quoted(served, endpoint="/v1/responses", body=asked, completion_window="standard")["accepted"]
    wait_until(
        lambda: work(served, **brief, name=name)[0] == 200, "refused work is let in when it comes again"
    )
    for which in let_in:
        done(served, which)
    windows = {each["id"]: each for each in json.loads(served.call("/v1/windows")[2])["data"]}
    assert windows["brief"]["requests"]["last_1h"]["refused"] >= 1


def test_batch_moves_at_an_even_pace(scene: Scene) -> None:
    """Its jobs have targets one after the other, up to the finish that it was quoted, long before it is due; jobs whose
    prompts begin alike say so.
    """
    served, _ = scene
    params = {
        "model": "narrow",
        "instructions": "Be brief. " * 40,
        "input": "words: 4 {{delay 0.1}}",
        "max_output_tokens": 50,
    }
    pieces = [{"custom_id": f"r{n}", "params": params} for n in range(200)]
    status, _, answer = served.call("/v1/batches", {"endpoint": "/v1/responses", "requests": pieces})
    assert status == 200, answer
    which = json.loads(answer)["id"]
    found = rows(
        served.data, "SELECT lo, target_at, due_at, prefix FROM jobs WHERE batch_id = ? ORDER BY lo", which
    )
    served.call(f"/v1/batches/{which}/cancel", {})
    moments = [target for _, target, _, _ in found]
    assert len(found) > 1
    assert moments == sorted(moments)
    assert len(set(moments)) == len(moments)
    assert all(target < due for _, target, due, _ in found)
    [prefix] = {prefix for *_, prefix in found}
    assert prefix


def test_neither_is_there_under_a_preset_that_has_none(scene: Scene) -> None:
    """Quotes and windows belong to the default preset alone."""
    served, _ = scene
    for path, body in (("/v1/quotes", {}), ("/v1/windows", None)):
        assert served.call(path, body, headers={"host": "valar.example.org"})[0] == 404
