"""What the answers of a target came to, and what they would be estimated at by now: sums that forget, a model at a time.

    answers --told--> real service            how much a place gives, whatever estimates say
                      read, most of a model   what is known of its requests before they run
                      |
                      '--part, by the ratio of now--> estimated / real: what turns the one measure into the other

Work that waits is summed by estimates, so a speed is told in these: what they are all wrong by cancels out. It is measured in
real service, which hardly varies, and turned by the ratios of now: those of the first answers, which were few, count no more.
Decides a number; refuses to know clocks, models and calls.
"""

import math
from collections.abc import Callable, Mapping

from msgspec import Struct

from ingot.scheduling.fairness import service

NOTHING: "Mapping[str, tuple[float, float]]" = {}


class Mix(Struct, frozen=True):
    """The real service of the answers, and by model what it is estimated by: service that is known beforehand, and the most tokens
    that might be written; all of it as it counts at the moment `at`.
    """

    real: float = 0.0
    known: Mapping[str, tuple[float, float]] = NOTHING
    at: float = 0.0

    def part(self, ratio: Callable[[str], float]) -> float:
        """What the answers are estimated at, by the part of the most that a model writes, as a part of what they came to."""
        if self.real <= 0.0:
            return 1.0
        each = (before + service(0, 1) * most * ratio(model) for model, (before, most) in self.known.items())
        return math.fsum(each) / self.real


def told(
    mix: Mix, model: str, *, read: int, written: int, guess: int, most: int, now: float, half_life: float
) -> Mix:
    """With one more answer: `guess` is what it was estimated to read, `most` what it might have written, 0 where nobody said."""
    kept = math.pow(0.5, max(now - mix.at, 0.0) / half_life)
    known = {name: (before * kept, most * kept) for name, (before, most) in mix.known.items()}
    before, open_end = known.get(model, (0.0, 0.0))
    if most > 0:
        known[model] = (before + service(guess, 0), open_end + max(most, written))
    else:
        known[model] = (before + service(guess, written), open_end)
    return Mix(mix.real * kept + service(read, written), known, max(now, mix.at))
