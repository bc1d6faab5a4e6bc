"""What is known of the targets' work for the queue: how much at once, how fast, and what requests really come to.

    an item has ended --learn--> pace, speed of a place          of its target
                                 tokens written, error           of its model
    once a second     --look---> places for queued work          told to other nodes, and heard of them

A model's lane is its first target. What a process measured counts most; what others told, and this one before it started
anew, counts by its age. Decides figures; refuses to know jobs, sockets and the database.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec
from msgspec import Struct, structs

from ingot.catalog import Catalog, Target
from ingot.scheduling import crowd as crowds
from ingot.scheduling import pace as paces
from ingot.scheduling.capacity import USUAL, owned
from ingot.scheduling.crowd import FLAT, Crowd, Line, faster
from ingot.scheduling.fairness import service
from ingot.scheduling.mix import Mix, told
from ingot.scheduling.pace import Bounds, Pace
from ingot.scheduling.quotes import Supply
from ingot.scheduling.rates import Average, flowed, seen

NOWHERE: Final = ""
"""The lane of models that are not there any more: their work ends at once."""
EACH: Final = 100.0
"""Service a second of a place before anything was measured."""
RATIO: Final = 0.5
"""Tokens written as a part of the most that was asked for, before anything was measured."""
MARGIN: Final = 1.5
"""An item is predicted to run so many times as long as its estimate says."""
ENOUGH: Final = 5.0
"""Calls from which on a speed is known: fewer refuse nobody."""
SPEED_HALF_LIFE: Final = 300.0
PERMITS_HALF_LIFE: Final = 60.0
WATCHED: Final = 15.0
"""Before places were watched they count for so many seconds as what asap leaves of them by its share."""
USUAL_HALF_LIFE: Final = 3600.0
RATIO_HALF_LIFE: Final = 3600.0
CROWD_HALF_LIFE: Final = 3600.0
TOLD_HALF_LIFE: Final = 3600.0
LIVING: Final = 60.0
"""Seconds after which a node that told nothing works no more."""

Ending = Literal["done", "throttled", "failed"]


class Called(Struct, frozen=True, kw_only=True):
    """How the call for an item ended: when it began, for how long it took, what was used, the Retry-After of a refusal."""

    model: str
    ending: Ending
    began: float
    seconds: float
    read: int = 0
    written: int = 0
    guess: int = 0
    """Tokens that it is estimated to read, by what is known now; 0: as many as it read."""
    most: int = 0
    """Tokens that it might have written."""
    retry_after: float | None = None
    running: int = 1
    """Calls that the target has of this process, itself included, when it ends."""
    beside: float = 0.0
    """How many on average while it ran; 0: as many."""
    item: str = ""
    """Which one it was for."""


class Habit(Struct, frozen=True):
    """What requests for a model come to: tokens written of those that were allowed, service of what is estimated by that."""

    ratio: Average = Average()
    error: Average = Average()


class ToldLane(Struct, frozen=True):
    """What a node tells of a target: the speed beside so many calls, how more of them slow it down, and how many there are when all
    its places are taken.
    """

    speed: Average
    permits: float
    usual: float
    opens: float = 0.0
    beside: float = 0.0
    line: Line = FLAT
    full: float = 0.0

    def among(self, calls: float) -> Average:
        """The speed when so many calls wait or run."""
        if self.full <= 0.0:
            return self.speed
        part = faster(self.line, measured=self.beside, calls=min(calls, self.full))
        return _scaled(self.speed, part)

    def thinner(self, calls: float) -> float:
        """How long a call takes beside half of so many, as a part of what it takes beside all."""
        most = min(calls, self.full)
        return faster(self.line, measured=most / 2.0, calls=most) if self.full > 0.0 else 1.0


class Telling(Struct, frozen=True):
    """What a node tells: of its targets, of models, and what organizations ask for a second, by lane and seconds of the window."""

    lanes: Mapping[str, ToldLane] = {}
    habits: Mapping[str, Habit] = {}
    arriving: Mapping[str, Mapping[str, Mapping[str, float]]] = {}


class _Lane:
    """What this process knows of one target."""

    __slots__ = ("answers", "asap", "beside", "crowd", "mix", "pace", "permits", "speed", "usual")

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.speed = Average()
        self.mix = Mix()
        self.crowd = Crowd()
        self.beside = Average()
        self.answers = Average()
        self.asap = Average()
        self.permits = Average()
        self.usual = Average()


_telling = msgspec.json.Decoder(Telling)


class Pacing:
    """The figures of one process; belongs to one event loop."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}
        self._habits: dict[str, Habit] = {}
        self.others: list[tuple[float, Telling]] = []
        """What other nodes told, and when."""

    # ---- for those who work

    def pace(self, target: Target) -> Pace:
        """How many calls it bears at once; its configured capacity is where that starts and where it ends."""
        return self._lane(target).pace

    def learn(self, target: Target, called: Called, now: float) -> None:
        """Takes how a call ended."""
        lane = self._lane(target)
        if called.ending == "done":
            lane.pace = paces.answered(
                lane.pace, now, began=called.began, running=called.running, tokens=called.written
            )
        elif called.ending == "throttled":
            lane.pace = paces.throttled(lane.pace, now, began=called.began, retry_after=called.retry_after)
        else:
            lane.pace = paces.failed(lane.pace, now, began=called.began, item=called.item)
        real = 0
        if called.ending == "done" and called.read + called.written > 0:
            self._habits[called.model] = _learned(self._habits.get(called.model, Habit()), called, now)
            real = service(called.read, called.written)
            lane.mix = told(
                lane.mix,
                called.model,
                read=called.read,
                written=called.written,
                guess=called.guess or called.read,
                most=called.most,
                now=now,
                half_life=SPEED_HALF_LIFE,
            )
            lane.answers = flowed(
                lane.answers, real, seconds=called.seconds, now=now, half_life=SPEED_HALF_LIFE
            )
            calls = called.beside or float(called.running)
            lane.beside = seen(lane.beside, calls, now=now, half_life=SPEED_HALF_LIFE, weight=real)
            lane.crowd = crowds.told(
                lane.crowd,
                service=real,
                seconds=called.seconds,
                calls=calls,
                now=now,
                half_life=CROWD_HALF_LIFE,
            )
        lane.speed = flowed(lane.speed, real, seconds=called.seconds, now=now, half_life=SPEED_HALF_LIFE)

    def cost(self, lane: str, seconds: float) -> int:
        """The service that a place gives in so many seconds when it answers: what a try that failed took from others."""
        known = self._lanes.get(lane)
        return round(seconds * (EACH if known is None else known.answers.or_else(EACH)))

    def look(self, target: Target, now: float, *, asap: int, most: int) -> None:
        """Notes how many places queued work has, of the `most` that the process works on at once."""
        lane = self._lane(target)
        permits = float(min(lane.pace.permits, most))
        share = owned(int(permits), USUAL.asap)
        usable = 0.0
        if lane.pace.open(now):
            usable = max(permits - max(asap, share), float(owned(int(permits), USUAL.queued)), 1.0)
        if not lane.permits.known:
            alone = max(permits - share, 1.0)
            lane.permits = seen(lane.permits, alone, now=now, half_life=PERMITS_HALF_LIFE, weight=WATCHED)
        lane.permits = seen(lane.permits, usable, now=now, half_life=PERMITS_HALF_LIFE)
        lane.usual = seen(lane.usual, usable, now=now, half_life=USUAL_HALF_LIFE)
        lane.asap = seen(lane.asap, float(asap), now=now, half_life=PERMITS_HALF_LIFE)

    # ---- for those who promise

    def supply(self, lane: str, now: float, *, calls: float = math.inf) -> Supply | None:
        """What the targets of a lane give to queued work on all nodes; None while nobody measured enough of it. A place is as fast as
        beside so many `calls`, at most as all places bear.
        """
        own = self._lanes.get(lane)
        told = [(at, each.lanes[lane]) for at, each in self.others if lane in each.lanes]
        known = [(each, math.pow(0.5, max(now - at, 0.0) / TOLD_HALF_LIFE)) for at, each in told]
        if own is not None:
            known.append((self._told(own), 1.0))
        speed = _pooled((each.among(calls), counts) for each, counts in known)
        if speed is None:
            return None
        permits = 0.0 if own is None else own.permits.mean
        usual = 0.0 if own is None else own.usual.mean
        opens = [] if own is None or not own.permits.known else [own.pace.paused_until]
        for at, other in told:
            living = now - at <= LIVING
            usual += other.usual if living or own is None or not own.usual.known else 0.0
            if living:
                permits += other.permits
                opens.append(other.opens)
        each, error = speed
        thinner = min(node.thinner(calls) for node, _ in known)
        return Supply(each, error, permits, max(usual, 1.0), min(opens, default=now), thinner)

    def each(self, lane: str, now: float) -> float:
        """Service a second of one place."""
        supply = self.supply(lane, now)
        return EACH if supply is None else supply.each

    def expected(self, model: str, read: int, most: int) -> int:
        """The service of a request that reads so many tokens and may write `most`."""
        return estimate(read, most, self.ratio(model))

    def ratio(self, model: str) -> float:
        """Tokens that are written, as a part of the most that may be."""
        return self._habit(model).ratio.or_else(RATIO)

    def deviation(self, model: str) -> float:
        """How far off the estimates of a model are from one another, as a part of what they come to."""
        error = self._habit(model).error
        return error.deviation / error.mean if error.mean > 0.0 else 1.0

    # ---- between nodes

    def told(self, arriving: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
        """What this process tells the others."""
        lanes = {
            name: self._told(each)
            for name, each in self._lanes.items()
            if each.permits.known or each.speed.known
        }
        return msgspec.json.encode(Telling(lanes, self._habits, arriving)).decode()

    def hear(self, told: Iterable[tuple[float, str]]) -> None:
        """Takes what the others told; what a later version says in other words is passed over."""
        self.others = []
        for at, text in told:
            try:
                self.others.append((at, _telling.decode(text)))
            except msgspec.DecodeError:
                continue

    def _told(self, lane: _Lane) -> ToldLane:
        """What is known of a target, its speed in the measure of estimates."""
        return ToldLane(
            speed=_scaled(lane.speed, lane.mix.part(self.ratio)),
            permits=lane.permits.mean,
            usual=lane.usual.mean,
            opens=lane.pace.paused_until,
            beside=lane.beside.mean,
            line=lane.crowd.line(),
            full=lane.permits.mean + lane.asap.mean if lane.permits.known and lane.beside.known else 0.0,
        )

    def _habit(self, model: str) -> Habit:
        own = self._habits.get(model)
        if own is None:
            own = next(
                (each.habits[model] for _, each in reversed(self.others) if model in each.habits), None
            )
        return own or Habit()

    def _lane(self, target: Target) -> _Lane:
        lane = self._lanes.get(target.name)
        bounds = _bounds(target)
        if lane is None:
            lane = self._lanes[target.name] = _Lane(paces.started(bounds))
        elif lane.pace.bounds != bounds:
            lane.pace = structs.replace(paces.started(bounds), paused_until=lane.pace.paused_until)
        return lane


def lane_of(catalog: Catalog, model: str) -> str:
    """The name of a model's lane."""
    deployment = catalog.deployments.get(model)
    return NOWHERE if deployment is None else deployment.routes[0].target.name


def _bounds(target: Target) -> Bounds:
    capacity = target.capacity
    return Bounds() if capacity is None else Bounds(start=float(capacity), ceiling=float(capacity))


def estimate(read: int, most: int, ratio: float) -> int:
    """The service of a request that reads so many tokens and writes this part of the `most` that it may."""
    return max(service(read, math.ceil(most * ratio)), 1)


def _learned(habit: Habit, called: Called, now: float) -> Habit:
    """What a call that was answered teaches of its model.

    Its estimate is made by the ratio of now, and not by the one that it was let in with: the first ones knew none.
    """
    ratio, read = habit.ratio, called.guess or called.read
    real, given = float(service(called.read, called.written)), float(service(read, called.written))
    if called.most > 0:
        part = called.written / max(called.most, called.written)
        ratio = seen(ratio, part, now=now, half_life=RATIO_HALF_LIFE)
        given = float(estimate(read, called.most, ratio.or_else(RATIO)))
    error = seen(habit.error, real / max(given, 1.0), now=now, half_life=RATIO_HALF_LIFE)
    return Habit(ratio, error)


def _scaled(average: Average, part: float) -> Average:
    return structs.replace(average, mean=average.mean * part, variance=average.variance * part * part)


def _pooled(speeds: Iterable[tuple[Average, float]]) -> tuple[float, float] | None:
    """The mean of several averages, and its standard error; None while they come to too few calls."""
    known = [(each, counts * each.weight, counts * each.samples) for each, counts in speeds if each.known]
    if math.fsum(samples for _, _, samples in known) < ENOUGH:
        return None
    weight = math.fsum(part for _, part, _ in known)
    mean = math.fsum(each.mean * part for each, part, _ in known) / weight
    spread = math.fsum(part * (each.variance + (each.mean - mean) ** 2) for each, part, _ in known) / weight
    if mean <= 0.0:
        return None
    return mean, math.sqrt(spread / math.fsum(samples for _, _, samples in known))
