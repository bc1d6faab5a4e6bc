"""What is asked for and when: drawn from a random source, or read from lines of JSON.

A recorded line:

    {"at": 12.5, "organization": "acme", "window": "standard", "items": [{"input": 900, "output": 210, "most": 1000}]}

`at` in seconds from the start; `most` is the max_tokens of the request (unset: as much as came); several items are a
batch; `prefix` names requests that begin alike. Decides what comes; refuses to know what becomes of it.
"""

import heapq
import math
from collections.abc import Iterable, Iterator
from typing import Annotated, Final, Protocol

import msgspec
from msgspec import Meta, Struct

from ingot.scheduling.fairness import service
from ingot.scheduling.simulation.scenario import Mix, Organization, Scenario, Sizes

BURST_SECONDS: Final = 60.0
BURST_SHARE: Final = 0.25
"""Bursty load comes in a quarter of the time, four times as dense."""
SAMPLES: Final = 400
PREFIXES: Final = 4


class Randomness(Protocol):
    """What is drawn from, as `random.Random` has it."""

    def random(self) -> float: ...
    def expovariate(self, lambd: float, /) -> float: ...
    def lognormvariate(self, mu: float, sigma: float, /) -> float: ...
    def paretovariate(self, alpha: float, /) -> float: ...


class Item(Struct, frozen=True):
    """One call: the tokens that it will turn out to have, and the most that it may write."""

    input: Annotated[int, Meta(ge=0)]
    output: Annotated[int, Meta(ge=0)]
    most: Annotated[int, Meta(ge=0)] = 0

    @property
    def real(self) -> int:
        """Its service."""
        return service(self.input, self.output)

    def expected(self, ratio: float) -> int:
        """Its service as it looks before it runs, where answers come to `ratio` of their most."""
        return service(self.input, int(max(self.most, self.output) * ratio) + 1)


class Asked(Struct, frozen=True):
    """A request or a batch."""

    at: Annotated[float, Meta(ge=0)]
    organization: Annotated[str, Meta(min_length=1)]
    window: str
    items: Annotated[tuple[Item, ...], Meta(min_length=1)]
    prefix: str = ""

    @property
    def batch(self) -> bool:
        """Whether it has several items."""
        return len(self.items) > 1


class Unreadable(ValueError):
    """A line that is no record of load; the message names it."""


_line = msgspec.json.Decoder(Asked)


def recorded(lines: Iterable[bytes], windows: Iterable[str]) -> list[Asked]:
    """The load of a record, in order of time; raises Unreadable with the number of the line."""
    known = set(windows)
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            asked = _line.decode(line)
        except msgspec.MsgspecError as error:
            raise Unreadable(f"line {number}: {error}") from error
        if asked.window not in known:
            raise Unreadable(
                f'line {number}: there is no window "{asked.window}"; there are {", ".join(sorted(known))}'
            )
        found.append(asked)
    if not found:
        raise Unreadable("the record has no lines")
    return sorted(found, key=lambda asked: asked.at)


def drawn(scenario: Scenario, source: Randomness) -> Iterator[Asked]:
    """The scenario's queued load, in order of time."""
    capacity = throughput(scenario, source)
    whole = math.fsum(each.load for each in scenario.organizations)
    streams = [
        _stream(scenario, organization, mix, source, offered=offered * mix.part)
        for organization in scenario.organizations
        if (offered := scenario.overload * capacity * organization.load / whole) > 0.0
        for mix in scenario.mixes
        if mix.part > 0.0
    ]
    return heapq.merge(*streams, key=lambda asked: asked.at)


def realtime(scenario: Scenario, source: Randomness) -> Iterator[tuple[float, Item]]:
    """The scenario's asap load, which does not enter the queue, in order of time."""
    items = [item(scenario.sizes, source) for _ in range(SAMPLES)]
    calls = sum(model.calls for model in scenario.targets)
    taken = math.fsum(seconds(scenario, each) for each in items) / SAMPLES
    pace = scenario.asap * calls / taken
    at = 0.0
    while pace > 0.0:
        at += source.expovariate(pace)
        if at >= scenario.seconds:
            return
        yield at, item(scenario.sizes, source)


def throughput(scenario: Scenario, source: Randomness) -> float:
    """About the service a second that the targets can give to queued work."""
    items = [item(scenario.sizes, source) for _ in range(SAMPLES)]
    calls = sum(model.calls for model in scenario.targets) * (1.0 - scenario.shares.asap)
    return calls * sum(each.real for each in items) / math.fsum(seconds(scenario, each) for each in items)


def seconds(scenario: Scenario, each: Item) -> float:
    """How long an item takes at the first target when nothing else runs."""
    model = scenario.targets[0]
    return model.overhead + model.read * each.input + model.write * each.output


def item(sizes: Sizes, source: Randomness) -> Item:
    """One item with heavy tails on both sides."""
    read = min(int(source.lognormvariate(math.log(sizes.input), sizes.spread)) + 1, sizes.most_input)
    wrote = min(int(source.lognormvariate(math.log(sizes.output), sizes.spread)) + 1, sizes.most_output)
    most = min(sizes.most_output, max(wrote, int(sizes.output * 4)))
    return Item(read, wrote, most)


def _stream(
    scenario: Scenario, organization: Organization, mix: Mix, source: Randomness, *, offered: float
) -> Iterator[Asked]:
    """One organization's load of one kind: `offered` service a second."""
    each = sum(item(scenario.sizes, source).real for _ in range(SAMPLES)) / SAMPLES
    pace = offered / (each * mix.items)
    at = 0.0
    for start, end in _times(scenario, source):
        at = max(at, start)
        while True:
            at += source.expovariate(pace / (BURST_SHARE if scenario.arrival == "bursty" else 1.0))
            if at >= end:
                break
            items = tuple(item(scenario.sizes, source) for _ in range(_count(mix, source)))
            prefix = f"{organization.name}/{int(source.random() * PREFIXES)}"
            yield Asked(at, organization.name, mix.window, items, prefix)


def _times(scenario: Scenario, source: Randomness) -> Iterator[tuple[float, float]]:
    """The times in which a stream flows."""
    if scenario.arrival == "poisson":
        yield 0.0, scenario.seconds
        return
    at = source.random() * BURST_SECONDS
    while at < scenario.seconds:
        end = at + source.expovariate(1.0 / BURST_SECONDS)
        yield at, min(end, scenario.seconds)
        at = end + source.expovariate(BURST_SHARE / (1.0 - BURST_SHARE) / BURST_SECONDS)


def _count(mix: Mix, source: Randomness) -> int:
    """How many items a batch has: a Pareto tail with the mix's mean, cut at ten times that."""
    if not mix.batch:
        return 1
    return max(2, min(int(mix.items / 2 * source.paretovariate(2.0)), 10 * mix.items))
