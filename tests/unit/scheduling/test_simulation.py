"""The scheduler's functions against played load (T-Q-sim): nothing is lost, nobody starves, promises are kept.

`INGOT_EXAMPLES` sets how many seeds are run; 5000 take some minutes.
"""

import os
import random

import msgspec
import pytest

from ingot.scheduling.simulation.load import Asked, Item, Unreadable, drawn, recorded
from ingot.scheduling.simulation.report import GAP, Report, joined, lines
from ingot.scheduling.simulation.run import simulate
from ingot.scheduling.simulation.scenario import (
    DAY_MIX,
    Mix,
    Model,
    Organization,
    Scenario,
    Sizes,
    Trouble,
    equal,
    shortened,
    troubled,
)
from ingot.scheduling.simulation.varied import varied
from ingot.scheduling.windows import WINDOWS

SEEDS = int(os.environ.get("INGOT_EXAMPLES", "15"))
GROUPS = 5

OVERLOADED = Scenario(
    "overloaded",
    equal(8),
    (Mix("priority", 0.10), Mix("standard", 0.55), Mix("standard", 0.35, items=100)),
    hours=0.4,
    overload=3.0,
    sizes=Sizes(input=300.0, output=100.0, spread=0.6, most_input=2000, most_output=500),
    targets=(Model(12, ceiling=12),),
    windows=shortened(WINDOWS, 3600.0),
    warm_seconds=360.0,
)


def seeded(seed: int) -> random.Random:
    """A source that gives the same again."""
    return random.Random(seed)  # noqa: S311  # a simulation that can be repeated


def run(scenario: Scenario, seed: int, load: list[Asked] | None = None) -> Report:
    """One run."""
    return simulate(scenario, seeded(seed), load=load)


@pytest.mark.parametrize("group", range(GROUPS))
def test_t_q_sim_nothing_is_lost_and_nobody_starves(group: int) -> None:
    """F21: whatever the load, the weights and the trouble: every promise ends, no late item is passed over by one that is
    due later, no permit is idle beside work that may have it (Q11, Q12), and where no promise had to go first,
    organizations differ by what one item and what runs are worth (Q13).
    """
    for seed in range(group, SEEDS, GROUPS):
        source = seeded(seed)
        report = simulate(varied(source), source)
        assert (report.lost, report.passed_over, report.idle) == (0, 0, 0), f"seed {seed}"
        accepted = sum(each.accepted for each in report.windows)
        ended = sum(each.met + each.missed + each.failed for each in report.windows)
        assert accepted == ended, f"seed {seed}"
        if not report.lifted:
            assert report.gap <= GAP * (1.0 + report.in_flight), f"seed {seed}"


def test_t_q_sim_overload_keeps_its_promises() -> None:
    """F22: three times the load that the target bears: what was let in is in time, equals are served alike, and who was
    refused is let in when told.
    """
    report = run(OVERLOADED, 1)
    says = {line.says: line for line in lines(report)}
    assert says["accepted work that met its window"].holds, says
    assert says["promises lost, late work passed over, permits idle beside work"].holds, says
    assert says["refused work let in when told"].holds, says
    assert report.gap <= GAP
    assert report.close_quotes >= 0.9 * report.quotes > 0
    assert report.told > 5000
    assert report.utilisation > 0.8


@pytest.mark.parametrize("seed", range(3))
def test_q13_who_always_fails_has_no_more_than_its_share_of_the_places(seed: int) -> None:
    """Of four that ask for more than there is, one whose every call fails: it has at most a quarter of the places' time, as
    its calls count for what these are worth.
    """
    good = equal(4)
    bad = msgspec.structs.replace(good[0], failing=1.0)
    scenario = Scenario(
        "poisoned",
        (bad, *good[1:]),
        (Mix("flex", 1.0),),
        hours=0.2,
        overload=3.0,
        asap=0.0,
        sizes=OVERLOADED.sizes,
        targets=(Model(12, ceiling=12),),
        warm_seconds=120.0,
        drain_hours=0.0,
    )
    report = run(scenario, seed)
    assert report.repeats > 100
    assert report.utilisation > 0.7
    assert 0 < report.places[bad.name] <= 1.1 * sum(report.places.values()) / len(good)


def test_simulation_when_the_seed_is_the_same() -> None:
    """A seed that fails once fails again: two runs are equal to the last figure."""
    source, again = seeded(5), seeded(5)
    assert simulate(varied(source), source) == simulate(varied(again), again)


def test_simulation_when_load_is_light() -> None:
    """Below what the targets bear nearly all is let in, and begins within moments."""
    scenario = Scenario(
        "light", equal(4), (Mix("standard", 1.0),), hours=0.1, overload=0.4, warm_seconds=60.0
    )
    report = run(scenario, 2)
    (window,) = report.windows
    assert window.refused <= window.accepted / 50
    assert window.missed == 0
    assert window.wait_p95 is not None
    assert window.wait_p95 < 5.0


def test_simulation_when_a_target_is_stormy() -> None:
    """A storm of 429 is borne: calls are repeated, and what was let in before it is in time."""
    scenario = troubled(
        Scenario(
            "storm",
            equal(5),
            (Mix("standard", 1.0),),
            hours=0.2,
            overload=0.9,
            targets=(Model(16, ceiling=16),),
        ),
        "storm",
    )
    report = run(scenario, 3)
    assert report.repeats > 0
    (window,) = report.windows
    assert window.failed == 0
    assert window.met >= 0.99 * (window.met + window.missed)


def test_simulation_when_the_only_target_is_gone() -> None:
    """Work waits for it and goes on after it; what comes meanwhile is refused rather than promised."""
    scenario = troubled(
        Scenario("outage", equal(3), (Mix("standard", 1.0),), hours=0.3, overload=0.5), "outage"
    )
    report = run(scenario, 4)
    assert (report.lost, report.passed_over) == (0, 0)
    (window,) = report.windows
    assert window.refused > 0
    assert window.met > window.missed


def test_simulation_when_nothing_but_failures_was_ever_seen() -> None:
    """The only target is gone from the first moment on: nobody knows what it gives, and it is learned once it answers."""
    gone = Trouble("outage", start=0.0, end=90.0, part=1.0)
    scenario = Scenario(
        "gone", equal(2), (Mix("standard", 1.0),), hours=0.1, overload=0.5, troubles=(gone,), warm_seconds=0.0
    )
    report = run(scenario, 5)
    assert report.repeats > 0
    assert (report.lost, report.passed_over, report.idle) == (0, 0, 0)
    (window,) = report.windows
    assert window.met > 0


def test_recorded_load_is_what_runs() -> None:
    """Two requests and a batch of three, as they came."""
    item = Item(input=100, output=50, most=200)
    asked = [
        Asked(9.0, "b", "standard", (item,)),
        Asked(1.0, "a", "standard", (item, item, item)),
        Asked(2.0, "a", "flex", (item,)),
    ]
    read = recorded([msgspec.json.encode(each) for each in asked], WINDOWS)
    assert [each.at for each in read] == [1.0, 2.0, 9.0]
    report = run(
        Scenario("record", (Organization("a"), Organization("b")), DAY_MIX, hours=0.01, asap=0.0), 1, read
    )
    assert {each.window: each.met for each in report.windows} == {
        "flex": 1,
        "standard": 1,
        "standard batch": 1,
    }
    assert report.begun == 5


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{}", "line 1: .*`at`"),
        (
            b'{"at": -1, "organization": "a", "window": "standard", "items": [{"input": 1, "output": 1}]}',
            "line 1: .*>= 0",
        ),
        (
            b'{"at": 1, "organization": "a", "window": "soon", "items": [{"input": 1, "output": 1}]}',
            'no window "soon"',
        ),
        (b'{"at": 1, "organization": "a", "window": "standard", "items": []}', "line 1: .*length >= 1"),
        (b"  ", "no lines"),
    ],
)
def test_recorded_load_when_a_line_is_wrong(line: bytes, says: str) -> None:
    """The error names the line and what would be right."""
    with pytest.raises(Unreadable, match=says):
        recorded([line], WINDOWS)


def test_drawn_load_comes_in_order_and_as_much_as_said() -> None:
    """In bursts as in a steady stream: the service of half an hour is that of the load, within a third."""
    found = {}
    for arrival in ("poisson", "bursty"):
        scenario = Scenario("x", equal(10), (Mix("standard", 1.0),), hours=0.5, arrival=arrival, overload=0.5)
        load = list(drawn(scenario, seeded(7)))
        assert [each.at for each in load] == sorted(each.at for each in load)
        assert all(each.at < 1800.0 for each in load)
        found[arrival] = sum(item.real for each in load for item in each.items)
    assert found["bursty"] == pytest.approx(found["poisson"], rel=0.33)


def test_joined_reports_add_up() -> None:
    """Counts are sums, gaps the worst."""
    reports = [run(Scenario("x", equal(2), DAY_MIX, hours=0.02), seed) for seed in (1, 2)]
    both = joined(reports)
    assert both.seeds == 2
    assert both.met == sum(each.met for each in reports)
    assert both.gap == max(each.gap for each in reports)
    assert both.begun == sum(each.begun for each in reports)
