"""Which target serves the next try of an inference, and how long to wait before it: pure functions.

    untried before tried  -->  the client's dialect before a translation  -->  the operator's order, or weights

A target that needs a translation is asked where none that speaks the client's dialect may be asked now, or all of those
were tried. Knows routes, breakers and what was already tried; sends nothing and sleeps never.
"""

import random
from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from ingot.catalog import Deployment, Route
from ingot.dialects.codecs import CODECS, wire_of
from ingot.dialects.dialect import Dialect
from ingot.errors import Unsupported
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
    dialect: str,
    weighted: bool,
    tried: Collection[str],
    now: float,
    rng: random.Random,
    queued: bool = False,
) -> Choice | Busy:
    """The best route that is free, of `routes_for`; `dialect` is the client's, `queued` says that it waited for its place."""
    if len(routes) == 1:
        link = links[routes[0].target.name]
        if link.free:
            return Choice(routes[0], link)
        wait = link.wait(now, queued=queued)
        return Busy(wait) if wait else Choice(routes[0], link)
    waits = [links[route.target.name].wait(now, queued=queued) for route in routes]
    free = [route for route, wait in zip(routes, waits, strict=True) if not wait]
    if not free:
        return Busy(min(waits))
    fresh = [route for route in free if route.target.name not in tried] or free
    route = _draw(fresh, dialect, rng) if weighted else fresh[0]
    return Choice(route, links[route.target.name])


def routes_for(deployment: Deployment, dialect: str, *, translatable: bool = False) -> Sequence[Route]:
    """The routes whose targets speak `dialect`; behind them, where it is `translatable`, those that need a translation."""
    routes = deployment.routes
    if len(routes) == 1 and dialect in routes[0].target.dialects:
        return routes
    if all(dialect in route.target.dialects for route in routes):
        return routes
    native = [route for route in routes if dialect in route.target.dialects]
    if not translatable:
        return native
    foreign = [route for route in routes if dialect not in route.target.dialects]
    return native + [route for route in foreign if wire_of(route.target) is not None]


def _draw(routes: list[Route], dialect: str, rng: random.Random) -> Route:
    routes = [route for route in routes if dialect in route.target.dialects] or routes
    return rng.choices(routes, weights=[route.weight for route in routes])[0]


def has_fresh(
    routes: Sequence[Route],
    links: Mapping[str, Link],
    *,
    tried: Collection[str],
    now: float,
    queued: bool = False,
) -> bool:
    """Whether a target that was not tried yet may be asked now: then nobody needs to wait."""
    return any(
        route.target.name not in tried and not links[route.target.name].wait(now, queued=queued)
        for route in routes
    )


def backoff(attempt: int, rng: random.Random) -> float:
    """Seconds to wait after the failed try number `attempt` (from 0): full jitter, doubling up to a cap."""
    return rng.uniform(0.0, min(BACKOFF_CAP, BACKOFF_BASE * 2**attempt))


def routes_served(deployment: Deployment, dialect: Dialect, surface: str) -> Sequence[Route]:
    """The routes that requests of a dialect may take; raises Unsupported where the model has none for this surface."""
    routes = routes_for(deployment, dialect.format, translatable=dialect.codec in CODECS)
    if not routes:
        raise Unsupported(
            f"The model '{deployment.name}' does not serve {surface}; "
            f"it serves {', '.join(sorted(deployment.capabilities))}.",
            param="model",
            code="unsupported_endpoint",
        )
    return routes
