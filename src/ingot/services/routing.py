"""Which target serves the next try of an inference, and how long to wait before it: pure functions.

Knows routes, breakers and what was already tried; sends nothing and sleeps never.
"""

import random
from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from ingot.catalog import Deployment, Route
from ingot.upstream.link import Link

BACKOFF_BASE = 0.25
BACKOFF_CAP = 4.0
LONGEST_WAIT = 5.0
"""Seconds that a request waits inside for a target to become free again; beyond it the client is told when to return."""


class Choice(Struct, frozen=True, gc=False):
    """A route that may be asked now."""

    route: Route
    link: Link


class Busy(Struct, frozen=True, gc=False):
    """No route may be asked now; `seconds` until one may, infinity when all are full."""

    seconds: float


def choose(
    routes: Sequence[Route],
    links: Mapping[str, Link],
    *,
    weighted: bool,
    tried: Collection[str],
    now: float,
    rng: random.Random,
) -> Choice | Busy:
    """The best route that is free: untried before tried, then in order or by weight."""
    if len(routes) == 1:
        link = links[routes[0].target.name]
        if link.free:
            return Choice(routes[0], link)
        wait = link.wait(now)
        return Busy(wait) if wait else Choice(routes[0], link)
    waits = [links[route.target.name].wait(now) for route in routes]
    free = [route for route, wait in zip(routes, waits, strict=True) if not wait]
    if not free:
        return Busy(min(waits))
    fresh = [route for route in free if route.target.name not in tried] or free
    route = _draw(fresh, rng) if weighted else fresh[0]
    return Choice(route, links[route.target.name])


def routes_for(deployment: Deployment, dialect: str) -> Sequence[Route]:
    """The routes whose targets speak `dialect`."""
    routes = deployment.routes
    if len(routes) == 1:
        return routes if dialect in routes[0].target.dialects else ()
    if all(dialect in route.target.dialects for route in routes):
        return routes
    return [route for route in routes if dialect in route.target.dialects]


def _draw(routes: list[Route], rng: random.Random) -> Route:
    return rng.choices(routes, weights=[route.weight for route in routes])[0]


def has_fresh(
    routes: Sequence[Route], links: Mapping[str, Link], *, tried: Collection[str], now: float
) -> bool:
    """Whether a target that was not tried yet may be asked now: then nobody needs to wait."""
    return any(route.target.name not in tried and not links[route.target.name].wait(now) for route in routes)


def backoff(attempt: int, rng: random.Random) -> float:
    """Seconds to wait after the failed try number `attempt` (from 0): full jitter, doubling up to a cap."""
    return rng.uniform(0.0, min(BACKOFF_CAP, BACKOFF_BASE * 2**attempt))
