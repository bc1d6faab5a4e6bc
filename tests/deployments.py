"""Deployments for tests that need one and no catalog."""

from typing import Any

from ingot.catalog import Deployment, Route
from ingot.pricing import Price


def deployment(*routes: Route, **fields: Any) -> Deployment:
    """The free model `m` over these routes; `fields` are what a test wants otherwise."""
    usual: dict[str, Any] = {
        "name": "m",
        "strategy": "ordered",
        "price": Price.free,
        "context": None,
        "windows": ("asap",),
        "attempts": 1,
        "owned_by": "ingot",
        "created": 0,
        "capabilities": frozenset(),
    }
    return Deployment(routes=routes, **usual | fields)
