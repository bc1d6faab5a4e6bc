"""How many permits of a target are for whom, and how many it has.

    permits of a target
    |<-- queued work always owns -->|<------- whoever comes ------->|<-- kept for asap -->|
                                                                     |<- lifted work too ->|<- asap alone ->|

asap never enters the queue, so it must find a permit free: queued work leaves a share unused. Lifted work, whose
promise is about to break, may use most of that share. The other way round asap leaves a share to queued work while
some waits. Of a target with so few permits that a share is less than half of one, the share is one of time: one
queued job after so many of asap. Decides numbers only; refuses to know what runs, and how a target is asked.
"""

import math
from typing import Final

from msgspec import Struct


class Shares(Struct, frozen=True):
    """Parts of a target's permits: kept for asap, of these kept even from lifted work, and owned by queued work."""

    asap: float = 0.2
    asap_alone: float = 0.1
    queued: float = 0.2


USUAL: Final = Shares()
SLICE: Final = 10.0
"""Seconds of which a share is one of time."""


class Lane(Struct, frozen=True):
    """A target at a moment: its permits, how many hold one, and the asap starts since queued work last had one."""

    permits: int
    asap: int = 0
    queued: int = 0
    asap_in_a_row: int = 0
    waiting: bool = True


class Room(Struct, frozen=True):
    """Permits that queued work may take now: lifted work up to `lifted`, of these other work up to `ordinary`."""

    ordinary: int
    lifted: int


def owned(permits: int, share: float) -> int:
    """Whole permits of a share, to the nearest."""
    return math.floor(permits * share + 0.5)


def room(lane: Lane, shares: Shares = USUAL) -> Room:
    """What a worker may lease for this target."""
    free = lane.permits - lane.asap - lane.queued
    if free <= 0:
        return Room(0, 0)
    kept = max(owned(lane.permits, shares.asap) - lane.asap, 0)
    alone = max(owned(lane.permits, shares.asap_alone) - lane.asap, 0)
    return Room(ordinary=max(free - kept, 0), lifted=max(free - alone, 0))


def own_room(lane: Lane, shares: Shares = USUAL) -> Room:
    """The same where asap is not held to its part: what queued work owns it has, whatever else came."""
    found, mine = room(lane, shares), max(owned(lane.permits, shares.queued) - lane.queued, 0)
    return Room(ordinary=max(found.ordinary, mine), lifted=max(found.lifted, mine))


def reserved(lane: Lane, now: float, shares: Shares = USUAL) -> int:
    """Permits that asap leaves free while queued work waits: what of its share is not in use. Of a target whose share is
    less than half a permit it is the whole one, for that part of the time.
    """
    if not lane.waiting or shares.queued <= 0:
        return 0
    mine = owned(lane.permits, shares.queued)
    if mine:
        return max(mine - lane.queued, 0)
    return int(lane.queued == 0 and now % SLICE < SLICE * shares.queued)


def admits_asap(lane: Lane, shares: Shares = USUAL) -> bool:
    """Whether one more asap request may start at this target now."""
    free = lane.permits - lane.asap - lane.queued
    if free <= 0:
        return False
    if not lane.waiting or shares.queued <= 0:
        return True
    mine = owned(lane.permits, shares.queued)
    if mine:
        return free > mine - lane.queued
    if lane.queued:
        return True
    return lane.asap_in_a_row < math.ceil(1 / shares.queued) - 1
