"""How often promises were kept: the published figures of each completion window, from sums that are kept with each result.

Decides which spans are told and how figures are made of sums. Refuses to know what a promise is: `store.windows` does.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from ingot.clock import Clock
from ingot.dialects.quotes import Kept, OfferedModel, Spans, WindowList, WindowObject
from ingot.pricing import Price, Rates
from ingot.scheduling.turns import quantile
from ingot.scheduling.windows import Window
from ingot.store import windows as store
from ingot.store.database import Database
from ingot.store.schema import MICROSECOND, micros
from ingot.store.windows import REFUSED, Count

SPANS: Final = {"last_1h": 3600, "last_24h": 86_400, "last_30d": 30 * 86_400}
MEDIAN: Final = 0.5
MOST: Final = 0.95

Found = dict[str, list[Count]]
"""Sums by span."""


class Offered(Protocol):
    """A model, as this has to know it."""

    @property
    def name(self) -> str: ...
    @property
    def windows(self) -> tuple[str, ...]: ...
    @property
    def price(self) -> Price: ...


class HitRates:
    """The figures of one database."""

    def __init__(self, db: Database, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def read(self, windows: Mapping[str, Window], offered: Sequence[Offered]) -> WindowList:
        """All windows, each with those of the offered models that have it."""
        now = micros(self._clock.now())
        found: Found = {
            name: await self._db.read(
                partial(store.read, since=now - span * MICROSECOND, now=now, fine=name == "last_1h")
            )
            for name, span in SPANS.items()
        }
        return WindowList([_told(each, offered, found) for each in windows.values()])


def factor(price: Price, window: str) -> float:
    """The price of a window as a part of the model's own, by what a token read and one written cost together."""
    base, own = _both(price.base), _both(price.at(window))
    return round(own / base, 6) if base else 1.0


def _both(rates: Rates) -> int:
    return rates.input + rates.output


def _told(window: Window, offered: Sequence[Offered], found: Found) -> WindowObject:
    here = [each for each in offered if window.name in each.windows]
    own = {name: [each for each in counts if each.window == window.name] for name, counts in found.items()}
    return WindowObject(
        id=window.name,
        seconds=window.seconds,
        batch_seconds=window.batch_seconds if window.batchable else None,
        background_only=window.background_only,
        batchable=window.batchable,
        on_miss=window.on_miss,
        models=[OfferedModel(each.name, factor(each.price, window.name)) for each in here],
        requests=_spans(own, batch=False),
        batches=_spans(own, batch=True) if window.batchable else None,
    )


def _spans(own: Found, *, batch: bool) -> Spans:
    kept = {name: _kept([each for each in counts if each.batch == batch]) for name, counts in own.items()}
    return Spans(last_1h=kept["last_1h"], last_24h=kept["last_24h"], last_30d=kept["last_30d"])


def _kept(counts: Iterable[Count]) -> Kept:
    turns: dict[int, int] = defaultdict(int)
    promised = kept = refused = 0
    for each in counts:
        if each.place == REFUSED:
            refused += each.ended
            continue
        promised += each.ended
        kept += each.kept
        turns[each.place] += each.ended
    return Kept(
        promised=promised,
        kept=kept,
        share=round(kept / promised, 6) if promised else None,
        turn_p50=_rounded(quantile(turns, MEDIAN)),
        turn_p95=_rounded(quantile(turns, MOST)),
        refused=refused,
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
