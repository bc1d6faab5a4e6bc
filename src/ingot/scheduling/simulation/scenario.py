"""What is simulated, as frozen records, and the scenarios that ship."""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct, field, structs

from ingot.scheduling import pace
from ingot.scheduling.capacity import USUAL, Shares
from ingot.scheduling.windows import WINDOWS, Window

HOUR: Final = 3600.0

Arrival = Literal["poisson", "bursty"]


class Organization(Struct, frozen=True):
    """Who asks: the plan's weight, how much it asks for compared with the others, and the part of its calls that fail, each
    after as long as its answer would have taken.
    """

    name: str
    weight: int = 1
    load: float = 1.0
    failing: float = 0.0


class Sizes(Struct, frozen=True):
    """Tokens of an item: medians, how heavy the tails are (sigma of a log-normal), and the most."""

    input: float = 600.0
    output: float = 250.0
    spread: float = 0.9
    most_input: int = 16_000
    most_output: int = 2_000


class Mix(Struct, frozen=True):
    """A part of the load, by service: a window, single items or batches of about `items`."""

    window: str
    part: float
    items: int = 1

    @property
    def batch(self) -> bool:
        """Whether it comes in batches."""
        return self.items > 1


class Model(Struct, frozen=True):
    """A target: calls that it bears at once, seconds of a call and of each token, and how much slower it is when
    all of them run than when at most `knee` of them do. `ceiling` is what its operator wrote down, if anything.
    """

    calls: int = 64
    overhead: float = 0.4
    read: float = 0.0002
    write: float = 0.02
    knee: float = 0.75
    crowd: float = 0.2
    ceiling: int | None = None

    @property
    def bounds(self) -> pace.Bounds:
        """Of its permits."""
        return pace.Bounds(start=min(16.0, float(self.calls)), ceiling=float(self.ceiling or 4 * self.calls))


class Trouble(Struct, frozen=True):
    """A time in which a target bears that part fewer calls and answers the others with 429 and Retry-After, or fails
    that part of them.
    """

    kind: Literal["storm", "outage"]
    start: float
    end: float
    target: int = 0
    part: float = 1.0
    retry_after: float = 5.0


class Scenario(Struct, frozen=True):
    """All of it. `overload` is the queued work that is offered, as a multiple of what the targets can do; `asap` the
    part of their calls that realtime traffic would like to have. Quotes and fairness of the first `warm_seconds` are
    not judged: nothing was measured then, so that too much is promised, and promises come before fairness;
    nor is fairness after the load.
    """

    name: str
    organizations: tuple[Organization, ...]
    mixes: tuple[Mix, ...]
    hours: float = 1.0
    overload: float = 1.0
    arrival: Arrival = "poisson"
    asap: float = 0.1
    sizes: Sizes = Sizes()
    targets: tuple[Model, ...] = (Model(ceiling=64),)
    troubles: tuple[Trouble, ...] = ()
    shares: Shares = USUAL
    windows: Mapping[str, Window] = field(default_factory=lambda: WINDOWS)
    warm_seconds: float = 600.0
    drain_hours: float = 24.0

    @property
    def seconds(self) -> float:
        """For how long load comes."""
        return self.hours * HOUR


DAY_MIX: Final = (
    Mix("priority", 0.10),
    Mix("standard", 0.45),
    Mix("standard", 0.35, items=200),
    Mix("flex", 0.10, items=100),
)


def equal(count: int) -> tuple[Organization, ...]:
    """So many organizations of one plan."""
    return tuple(Organization(f"org-{number:02}") for number in range(1, count + 1))


def mixed(count: int) -> tuple[Organization, ...]:
    """So many organizations, every fourth on a plan of four times the weight that asks four times as much."""
    return tuple(
        Organization(f"org-{number:02}", *((4, 4.0) if number % 4 == 0 else (1, 1.0)))
        for number in range(1, count + 1)
    )


def shortened(windows: Mapping[str, Window], batch_seconds: float) -> dict[str, Window]:
    """The windows with batches due sooner, so that an hour shows what a day would."""
    return {
        name: structs.replace(window, batch_seconds=min(window.batch_seconds, batch_seconds))
        for name, window in windows.items()
    }


def troubled(scenario: Scenario, kind: str) -> Scenario:
    """The scenario with trouble in its middle third: a storm of 429 from a target that bears less, or a target that
    is gone for five minutes.
    """
    middle = scenario.seconds / 3
    if kind == "storm":
        trouble = Trouble("storm", middle, middle + scenario.seconds / 6, part=0.4)
    elif kind == "outage":
        trouble = Trouble("outage", middle, middle + min(300.0, middle))
    else:
        return scenario
    return structs.replace(scenario, troubles=(*scenario.troubles, trouble))
