"""Which target is asked next: order, weight, what was tried, who is full, cooling or broken."""

import random
import ssl
from collections import Counter

import pytest

from deployments import deployment
from ingot.catalog import Route, Target
from ingot.clock import ManualClock
from ingot.services.routing import (
    BACKOFF_BASE,
    BACKOFF_CAP,
    Busy,
    Choice,
    backoff,
    choose,
    has_fresh,
    routes_for,
)
from ingot.upstream.client import Client
from ingot.upstream.link import Link

NOW = 1_000.0


def _tls(_: Target) -> ssl.SSLContext:
    return ssl.create_default_context()


def _routes(*names: str, weights: tuple[int, ...] = ()) -> list[Route]:
    targets = [
        Target(name, "http://127.0.0.1:9/v1", dialects=frozenset({"chat"}), capacity=1, breaker_failures=1)
        for name in names
    ]
    return [
        Route(target, "m", weight)
        for target, weight in zip(targets, weights or (1,) * len(names), strict=True)
    ]


async def _links(routes: list[Route]) -> dict[str, Link]:
    client = Client()
    clock = ManualClock(NOW)
    return {route.target.name: Link(route.target, client=client, clock=clock, tls=_tls) for route in routes}


def _names(
    routes: list[Route],
    links: dict[str, Link],
    *,
    weighted: bool = False,
    tried: tuple[str, ...] = (),
    times: int = 1,
) -> list[str]:
    rng = random.Random(1)  # noqa: S311  # a seeded draw
    found = []
    for _ in range(times):
        choice = choose(routes, links, dialect="chat", weighted=weighted, tried=tried, now=NOW, rng=rng)
        assert isinstance(choice, Choice)
        found.append(choice.route.target.name)
    return found


async def test_first_is_chosen_when_targets_are_ordered() -> None:
    """Every time, as long as it is free."""
    routes = _routes("a", "b")
    assert _names(routes, await _links(routes), times=5) == ["a"] * 5


async def test_share_follows_weight_when_targets_are_weighted() -> None:
    """Three to one, give or take."""
    routes = _routes("a", "b", weights=(1, 3))
    drawn = Counter(_names(routes, await _links(routes), weighted=True, times=2000))
    assert 0.2 < drawn["a"] / 2000 < 0.3


@pytest.mark.parametrize("weighted", [True, False])
async def test_untried_is_chosen_when_another_was_tried(*, weighted: bool) -> None:
    """However light it is; when all were tried the round begins anew."""
    routes = _routes("a", "b", weights=(1000, 1))
    links = await _links(routes)
    assert set(_names(routes, links, weighted=weighted, tried=("a",), times=20)) == {"b"}
    assert _names(routes, links, weighted=weighted, tried=("a", "b"))[0] in {"a", "b"}


async def test_next_is_chosen_when_the_first_is_full_cooling_or_broken() -> None:
    """None of the three is asked, tried or not."""
    routes = _routes("full", "cooling", "broken", "free")
    links = await _links(routes)
    links["full"].in_flight = 1
    links["cooling"].breaker.cool(NOW + 5)
    links["broken"].breaker.fail(NOW)
    assert _names(routes, links, times=3) == ["free"] * 3
    assert _names(routes, links, weighted=True, times=20) == ["free"] * 20
    assert not has_fresh(routes, links, tried=("free",), now=NOW)
    assert has_fresh(routes, links, tried=(), now=NOW)


@pytest.mark.parametrize("names", [("a",), ("a", "b")])
async def test_shortest_wait_is_told_when_nobody_is_free(names: tuple[str, ...]) -> None:
    """Seconds until the first one may be asked, infinity when all are full."""
    routes = _routes(*names)
    links = await _links(routes)
    for place, link in enumerate(links.values()):
        link.breaker.cool(NOW + 3 + place)
    rng = random.Random(1)  # noqa: S311  # never drawn from
    assert choose(routes, links, dialect="chat", weighted=False, tried=(), now=NOW, rng=rng) == Busy(3.0)
    for link in links.values():
        link.in_flight = 1
    assert choose(routes, links, dialect="chat", weighted=False, tried=(), now=NOW, rng=rng) == Busy(
        float("inf")
    )


def test_routes_are_left_out_when_their_target_speaks_another_dialect() -> None:
    """A deployment may have a target for chat and one for embeddings."""
    chat = Target("a", "http://127.0.0.1:9/v1", dialects=frozenset({"chat"}))
    both = Target("b", "http://127.0.0.1:9/v1", dialects=frozenset({"chat", "embeddings"}))
    routes = (Route(chat, "m", 1), Route(both, "m", 1))

    def named(dialect: str, some: tuple[Route, ...]) -> list[str]:
        model = deployment(*some, capabilities=frozenset({"chat", "embeddings"}))
        return [route.target.name for route in routes_for(model, dialect)]

    assert named("chat", routes) == ["a", "b"]
    assert named("embeddings", routes) == ["b"]
    assert named("completions", routes) == []
    assert named("embeddings", routes[:1]) == []


def test_wait_grows_and_is_bounded_when_tries_fail() -> None:
    """Full jitter: anything from nothing to a bound that doubles up to a cap."""
    rng = random.Random(1)  # noqa: S311  # seeded jitter
    for attempt in range(12):
        bound = min(BACKOFF_CAP, BACKOFF_BASE * 2**attempt)
        waits = [backoff(attempt, rng) for _ in range(200)]
        assert 0 <= min(waits) < bound / 4
        assert bound * 3 / 4 < max(waits) <= bound


def _mixed(*dialects: str, weights: tuple[int, ...] = ()) -> list[Route]:
    """Routes to targets that are named after what they speak."""
    return [
        Route(
            Target(
                f"{dialect}-{place}",
                "http://127.0.0.1:9/v1",
                dialects=frozenset({dialect}),
                breaker_failures=1,
            ),
            "m",
            weight,
        )
        for place, (dialect, weight) in enumerate(zip(dialects, weights or (1,) * len(dialects), strict=True))
    ]


def test_translations_stand_last_when_some_targets_speak_the_dialect() -> None:
    """Each group in the operator's order; what has no codec is left out, and so are all where nothing is translated."""
    routes = tuple(_mixed("messages", "chat", "embeddings", "messages", "chat"))
    model = deployment(*routes)
    found = routes_for(model, "chat", translatable=True)
    assert [route.target.name for route in found] == ["chat-1", "chat-4", "messages-0", "messages-3"]
    assert [route.target.name for route in routes_for(model, "messages")] == ["messages-0", "messages-3"]
    assert not routes_for(model, "completions", translatable=False)


async def test_translation_is_chosen_when_no_target_of_the_dialect_is_free() -> None:
    """However heavy its weight, it waits for that; then it is asked at once."""
    routes = _mixed("chat", "messages", weights=(1, 1000))
    links = await _links(routes)
    assert set(_names(routes, links, weighted=True, times=20)) == {"chat-0"}
    assert _names(routes, links, weighted=True, tried=("chat-0",)) == ["messages-1"]
    links["chat-0"].breaker.fail(NOW)
    assert _names(routes, links) == ["messages-1"]
