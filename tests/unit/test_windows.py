"""Completion windows: which one a request is in, what a target sees of that, and which one an answer kept."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot import rawjson, windows
from ingot.config import ConfigError, load
from ingot.errors import ApiError, InvalidRequest, Unsupported
from ingot.scheduling.windows import WINDOWS as SHIPPED

BOTH = ("asap", "standard")
ALL = ("asap", "priority", "standard", "flex")


def asking(window: Any = None, **fields: Any) -> dict[str, Any]:
    """A body that names a window."""
    return fields if window is None else {"metadata": {"completion_window": window}, **fields}


@pytest.mark.parametrize(
    ("value", "offered", "chosen"),
    [
        ({}, ("asap",), "asap"),
        ({}, BOTH, "standard"),
        ({}, ("asap", "priority"), "asap"),
        ({}, ("flex",), "flex"),
        (asking("asap"), BOTH, "asap"),
        ({"metadata": None}, BOTH, "standard"),
        ({"service_tier": "auto"}, BOTH, "standard"),
        ({"service_tier": "default"}, BOTH, "standard"),
        ({"service_tier": "priority"}, ALL, "priority"),
        ({"service_tier": "flex"}, ALL, "flex"),
        ({"service_tier": "flex"}, BOTH, "standard"),
        (asking("flex", service_tier="flex"), ALL, "flex"),
        (asking("asap", service_tier="auto"), ALL, "asap"),
    ],
)
def test_choose_when_requests_say_different_things(
    value: dict[str, Any], offered: tuple[str, ...], chosen: str
) -> None:
    """C-03: metadata first, then the tier where the model has a window of that name, then standard, then asap."""
    assert windows.choose(value, offered, windows=SHIPPED, background=True) == chosen


@pytest.mark.parametrize(
    ("value", "kind", "told"),
    [
        (asking("standard"), Unsupported, "offered in 'asap', 'priority' and 'flex', not in 'standard'"),
        (asking("now"), Unsupported, "not in 'now'"),
        (asking(5), InvalidRequest, "expected a string, but got an integer"),
        (asking("asap", service_tier="flex"), InvalidRequest, "'service_tier' is 'flex'"),
    ],
)
def test_choose_when_the_window_cannot_be(value: dict[str, Any], kind: type[ApiError], told: str) -> None:
    """C-03: a window that the model lacks is refused, and the error names the field and those it has."""
    with pytest.raises(kind, match=told) as refused:
        windows.choose(value, ("asap", "priority", "flex"), windows=SHIPPED, background=True)
    assert (refused.value.param, refused.value.status) == ("metadata.completion_window", 400)


def test_flex_when_a_client_waits() -> None:
    """C-66: flex is for background and batches; the error says so. A tier of that name is then left to the target."""
    value = {"service_tier": "flex"}
    assert windows.choose(value, ALL, windows=SHIPPED, background=False) == "standard"
    with pytest.raises(Unsupported, match="'background': true"):
        windows.refuse_foreground(SHIPPED["flex"])
    windows.refuse_foreground(SHIPPED["standard"])


def test_for_target_when_words_are_for_this_server() -> None:
    """Window, webhook, token, background and a tier of ours stay here; all else keeps its bytes."""
    body = rawjson.parse(
        b'{"model": "m", "background": true, "service_tier": "flex", "metadata": {"completion_window": "flex", '
        b'"webhook_token": "t", "trace": "1"}, "messages":  [ 1.0 ]}'
    )
    seen = windows.for_target(body, "flex", background=True)
    assert seen.value == {"model": "m", "metadata": {"trace": "1"}, "messages": [1.0]}
    assert rawjson.parse(seen.data) == seen
    assert b"[ 1.0 ]" in seen.data
    assert windows.for_target(body, "asap", background=False).value["service_tier"] == "flex"
    kept = windows.for_store(body)
    assert kept.value["metadata"] == {"completion_window": "flex", "trace": "1"}


def test_for_target_when_nothing_is_for_this_server() -> None:
    """A body without such words is the very same."""
    body = rawjson.parse(b'{"model":"m","service_tier":"auto","metadata":{"trace":"1"}}')
    assert windows.for_target(body, "flex", background=True) is body
    assert windows.for_store(body) is body


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_achieved_when_times_differ(queued: float, more: float) -> None:
    """The window that is told was kept, and no faster one was."""
    turn = queued + more
    name = windows.achieved(SHIPPED, queued=queued, turn=turn)
    if queued <= 1.0:
        assert name == "asap"
    elif name is None:
        assert turn > 86_400
    else:
        assert SHIPPED[name].seconds >= turn
        assert all(each.seconds < turn for each in SHIPPED.values() if each.seconds < SHIPPED[name].seconds)


def test_build_when_windows_are_configured() -> None:
    """What the configuration says counts; the rest is as it ships, or follows from the window's length."""
    text = "[windows.standard]\nseconds = 60\non_miss = 'refund'\n[windows.nightly]\nseconds = 36000\n"
    found = windows.build(load(text, {}).windows)
    assert (found["standard"].seconds, found["standard"].on_miss) == (60, "refund")
    assert (found["nightly"].seconds, found["nightly"].background_only) == (36000, False)
    assert found["flex"] == SHIPPED["flex"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[windows.nightly]\nbatchable = true", "windows.nightly.seconds: is missing"),
        ("[windows.Nightly]\nseconds = 1", "lower-case letters"),
        ("[windows.a]\nseconds = 1\nmargin = 2", "longer than the window"),
        (
            "[models.m]\ntargets = ['t']\nprice = 'free'\nwindows = ['nightli']\n[windows.nightly]\nseconds = 9",
            'no completion window is named "nightli"',
        ),
    ],
)
def test_load_when_a_window_is_wrong(text: str, told: str) -> None:
    """A window that says too little, or is not there, stops the start with its place."""
    with pytest.raises(ConfigError, match=told):
        load(text, {})
