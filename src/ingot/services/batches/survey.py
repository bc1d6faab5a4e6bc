"""The requests of a batch that is only asked about: judged as a batch's are, and summed up by model and window.

    request --Judge--> read once --choose, most--> Portion of its model and window     once for each window that the
                                                                                      batch may name

A request that names its window stays in it whatever the batch names. Decides sums; refuses to know what they promise.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from msgspec import Struct

from ingot.catalog import Deployment
from ingot.dialects.batch_lines import Named
from ingot.scheduling.fairness import service
from ingot.services.batches.intake import Judge, Judged


class Portion(Struct):
    """Requests of one model in one window: how many, the tokens that they read, as estimated, and that they may write; the
    largest of them; the most that all may cost, in 1e-12 USD.
    """

    deployment: Deployment
    window: str
    items: int = 0
    read: int = 0
    written: int = 0
    largest: tuple[int, int] = (0, 0)
    most: int = 0

    def add(self, read: int, written: int, *, most: int, items: int = 1) -> None:
        """So many more requests; `most` is of all of them."""
        self.items += items
        self.read += read * items
        self.written += written * items
        self.most += most
        if service(read, written) > service(*self.largest):
            self.largest = (read, written)


Survey = Mapping[str | None, list[Portion]]
"""By the window that the batch names: None is the one that it was asked in."""


class Surveyor:
    """A judge that remembers sums alone, of the window that the batch names and of each of `others` in its place."""

    def __init__(self, judge: Judge, others: Iterable[str]) -> None:
        self._judge = judge
        self._others = {name: replace(judge, window=name) for name in others}
        self._found: dict[str | None, dict[tuple[str, str], Portion]] = {
            None: {},
            **{name: {} for name in self._others},
        }

    def judge(self, named: Named) -> Judged:
        """Raises ApiError, whose `param` is a place within the body."""
        call, deployment = self._judge.read(named)
        judged = self._judge.weigh(named, call, deployment)
        self._add(None, deployment, judged, window=judged.window, most=judged.most)
        for name, other in self._others.items():
            window = other.choose(call, deployment)
            most = judged.most if window == judged.window else other.most(call, deployment, window)
            self._add(name, deployment, judged, window=window, most=most)
        return judged

    def survey(self) -> Survey:
        """What all came to."""
        return {name: list(found.values()) for name, found in self._found.items()}

    def _add(
        self, name: str | None, deployment: Deployment, judged: Judged, *, window: str, most: int
    ) -> None:
        found = self._found[name]
        portion = found.get((deployment.name, window))
        if portion is None:
            portion = found[deployment.name, window] = Portion(deployment, window)
        portion.add(judged.read, judged.written, most=most)
