"""How much room there is for queued work: for the process, and for each target, whose places asap goes on to find.

A model's lane is its first target; models that share it share its room. Decides numbers from what runs now; refuses to know
jobs and leases.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from ingot.catalog import Catalog
from ingot.scheduling.capacity import Lane, Room, room
from ingot.upstream.link import Link

NOWHERE: Final = ""
"""The lane of models that are not there any more: their work ends at once."""


def lane_of(catalog: Catalog, model: str) -> str:
    """The name of a model's lane."""
    deployment = catalog.deployments.get(model)
    return NOWHERE if deployment is None else deployment.routes[0].target.name


def lanes(catalog: Catalog, models: Iterable[str]) -> dict[str, list[str]]:
    """The models that have work waiting, by lane."""
    found: dict[str, list[str]] = defaultdict(list)
    for model in models:
        found[lane_of(catalog, model)].append(model)
    return found


def room_of(link: Link | None, *, ours: int, free: int) -> Room:
    """What a lane has room for, of the `free` places of the process; `ours` are items that run there."""
    capacity = None if link is None else link.target.capacity
    if link is None or capacity is None:
        return Room(free, free)
    found = room(Lane(capacity, asap=max(link.in_flight - ours, 0), queued=ours))
    return Room(min(found.ordinary, free), min(found.lifted, free))


def occupied(running: Mapping[str, int], catalog: Catalog) -> dict[str, int]:
    """Items that run, by lane, from those by model."""
    found: dict[str, int] = defaultdict(int)
    for model, count in running.items():
        found[lane_of(catalog, model)] += count
    return found
