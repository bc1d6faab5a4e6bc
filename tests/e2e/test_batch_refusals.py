"""Batches that cannot be taken: the place of the fault is told, and nothing of the batch is left."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from batchhouse import CHAT, CONFIG, Scene, make, named
from retryclient import rows
from rig import stage, wait_until


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("batches"), CONFIG) as both:
        yield both


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"endpoint": CHAT, "requests": []}, "requests", "empty_array"),
        ({"endpoint": CHAT}, "requests", "missing_required_parameter"),
        ({"requests": named({"a": "x"})}, "endpoint", "missing_required_parameter"),
        ({"endpoint": "/v1/files", "requests": named({"a": "x"})}, "endpoint", "unsupported_value"),
        ({"endpoint": CHAT, "requests": {"a": 1}}, "requests", "invalid_type"),
        ({"endpoint": CHAT, "requests": named({"a b": "x"})}, "requests[0].custom_id", "invalid_value"),
        ({"endpoint": CHAT, "requests": named({"results": "x"})}, "requests[0].custom_id", "invalid_value"),
        (
            {"endpoint": CHAT, "requests": [*named({"a": "x"}), *named({"a": "y"})]},
            "requests[1].custom_id",
            "duplicate_custom_id",
        ),
        (
            {"endpoint": CHAT, "requests": [{"custom_id": "a"}]},
            "requests[0].params",
            "missing_required_parameter",
        ),
        ({"endpoint": CHAT, "requests": ["a"]}, "requests[0]", "invalid_type"),
        (
            {"endpoint": CHAT, "requests": named({"a": "x"}, model="nobody")},
            "requests[0].params.model",
            "model_not_found",
        ),
        (
            {"endpoint": CHAT, "requests": named({"a": "x"}, stream=True)},
            "requests[0].params.stream",
            "invalid_value",
        ),
        (
            {"endpoint": CHAT, "requests": named({"a": "x"}, background=True)},
            "requests[0].params.background",
            "invalid_value",
        ),
        (
            {"endpoint": CHAT, "requests": named({"a": "x"}, temperature=9)},
            "requests[0].params.temperature",
            "decimal_above_max_value",
        ),
        (
            {"endpoint": CHAT, "requests": named({"a": "x"}, max_tokens=10**15)},
            "requests[0].params.max_tokens",
            "integer_above_max_value",
        ),
        (
            {"endpoint": CHAT, "requests": named({"a": "x"}, metadata={"completion_window": "asap"})},
            "requests[0].params.metadata.completion_window",
            "unsupported_value",
        ),
        (
            {"endpoint": CHAT, "requests": named({"a": "x"}), "completion_window": "soon"},
            "completion_window",
            "invalid_value",
        ),
        ({"endpoint": CHAT, "requests": named({"a": "x"}), "label": "a b"}, "label", "invalid_value"),
        ({"endpoint": CHAT, "requests": named({"a": "x"}), "more": 1}, "more", "unknown_parameter"),
        (
            {"endpoint": CHAT, "requests": named({"a": "x"}), "input_file_id": "file-1"},
            "input_file_id",
            "invalid_value",
        ),
        ({"endpoint": CHAT, "input_file_id": "file-1"}, "input_file_id", "not_found"),
        ({"endpoint": CHAT, "requests": named({"a": "x" * 30_000})}, "requests", "request_too_large"),
        (
            {"endpoint": CHAT, "requests": named({f"r{number}": "x" for number in range(501)})},
            "requests",
            "array_above_max_length",
        ),
    ],
)
def test_b02_field_is_named_when_a_batch_cannot_be_taken(
    scene: Scene, body: dict[str, Any], param: str, code: str
) -> None:
    """The place of the fault, to the field of the request in the array; and nothing of the batch is left."""
    served, _ = scene
    before = rows(served.data, "SELECT count(*) FROM batches")
    status, _, told = served.call("/v1/batches", body)
    error = json.loads(told)["error"]
    assert status in {400, 404, 413}
    assert (error["param"], error["code"]) == (param, code), error
    wait_until(lambda: rows(served.data, "SELECT count(*) FROM batches") == before, "nothing is left")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"endpoint":',
        b'{"requests":[{"custom_id":"a"',
        b'{"requests":[}',
        b'{"requests":[1 2]}',
        b'{"requests":[]} x',
        b'{"endpoint":"/v1/responses","endpoint":"/v1/responses"}',
        b'{"requests":[],"requests":[]}',
        b'{"requests":[{"custom_id":"a","params":{"model":"mock","messages":[{"role":"user","content":"\xff"}]}}],"endpoint":"/v1/chat/completions"}',
    ],
)
def test_body_is_refused_when_it_is_no_json(scene: Scene, body: bytes) -> None:
    """A 400 that says what is wrong."""
    status, _, told = scene[0].call("/v1/batches", body)
    assert (status, json.loads(told)["error"]["type"]) == (400, "invalid_request_error"), told


def test_first_ten_faults_are_told_when_there_are_more(scene: Scene) -> None:
    """Each with its place; nothing is taken."""
    wrong = named({f"r{number}": "x" for number in range(20)}, temperature=9)
    status, _, told = make(scene[0], wrong)
    message = told["error"]["message"]
    assert (status, "requests[9]" in message, "requests[10]" in message) == (400, True, False)
