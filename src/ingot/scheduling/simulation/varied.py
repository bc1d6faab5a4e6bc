"""Small scenarios of every kind, drawn from a random source: what thousands of seeds are run with.

Two to six organizations of different weights, one or two small targets, from half to four times the load that they
bear, steady or in bursts, half of them with a storm of 429 or an outage. Each takes some milliseconds.
"""

from typing import Final

from ingot.scheduling.simulation.load import Randomness
from ingot.scheduling.simulation.scenario import (
    Mix,
    Model,
    Organization,
    Scenario,
    Sizes,
    shortened,
    troubled,
)
from ingot.scheduling.windows import WINDOWS

WEIGHTS: Final = (1, 1, 1, 2, 4)
MIX: Final = (
    Mix("priority", 0.15),
    Mix("standard", 0.5),
    Mix("standard", 0.25, items=20),
    Mix("flex", 0.1, items=10),
)
SIZES: Final = Sizes(input=400.0, output=400.0, spread=0.7, most_input=4_000, most_output=1_500)
SECONDS: Final = 240.0


def varied(source: Randomness) -> Scenario:
    """One small scenario."""
    count = 2 + int(source.random() * 5)
    calls = 3 + int(source.random() * 10)
    scenario = Scenario(
        "varied",
        tuple(
            Organization(f"org-{number}", WEIGHTS[int(source.random() * len(WEIGHTS))], 0.2 + source.random())
            for number in range(count)
        ),
        MIX,
        hours=SECONDS / 3600.0,
        overload=0.5 + 3.5 * source.random(),
        arrival="bursty" if source.random() < 0.5 else "poisson",
        asap=0.2 * source.random(),
        sizes=SIZES,
        targets=tuple(Model(calls=calls, ceiling=calls) for _ in range(1 + int(source.random() * 2))),
        windows=shortened(WINDOWS, 900.0),
        warm_seconds=60.0,
        drain_hours=24.0,
    )
    kinds = ("storm", "outage", "", "")
    return troubled(scenario, kinds[int(source.random() * len(kinds))])
