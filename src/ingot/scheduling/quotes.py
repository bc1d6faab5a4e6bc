"""Truthful admission: when work will be done and what it costs, or when to come again with it.

    work, what is ahead of it, what the targets give
       |
       |-- its organization's share: all that is due by each moment fits into `fill` of what it gets until then
       |-- everybody's promises: with the work, all that is due by each moment still fits into the capacity
       |
       |-- both hold ----> Quote: start, finish, the interval around it, how sure the window is, the price
       `-- else ---------> Refusal: seconds until the same work fits, and a booking for it; None where it never does

A refusal is a promise too: it books the work, so that whoever is refused next is told a later moment, and who comes
when told is let in before those that come fresh, up to a fuller queue. Bookings count against their own organization
alone; its share bounds what they can take from others. One that is not claimed in time lapses.

Decides from numbers that others measured; refuses to know the queue's tables, clocks and what the work is.
"""

import math
from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct, structs

from ingot.pricing import WHOLE, Price, Tokens
from ingot.scheduling.backlog import EMPTY, Backlog, excess
from ingot.scheduling.bookings import Booking, booking
from ingot.scheduling.shares import Neighbour, time_for
from ingot.scheduling.windows import Window

CAPACITY_FILL: Final = 0.85
"""How much of the capacity until a due moment all promises together may take."""
CLAIMED: Final = 0.25
"""A claimed booking may fill this part of what a fresh request has to leave."""
LONGER: Final = 1.5
"""An item may run so many times as long as its estimate says."""
PACE: Final = 0.5
"""The part of its organization's share that a batch has at least, however much comes in shorter windows."""
LATER: Final = 0.65
"""How full the window is to be when refused work comes again, as a part of what it may be."""
LATER_FILL: Final = 0.9
"""How full the time until a later target of its organization may be with the work."""
SLOWER: Final = 1.1
"""How much slower than measured the line of bookings is reckoned to move: the rest lets fresh work in."""
OTHERS: Final = 0.85
"""The most of its organization's share that other windows are reckoned with when a booking is made."""
ILL: Final = 0.5
"""With fewer than this part of their usual permits targets are taken to be in an outage."""
RECOVERY: Final = 60.0
"""Seconds that targets are given to recover before refused work comes again."""
BEARING: Final = 30.0
"""A window that is so many times as long as a recovery bears an outage: its work is let in meanwhile."""
ROUNDS: Final = 24
"""Steps towards the fixed point; each jumps over all that is known to wait until then."""
SURE: Final = 1.645
"""Standard deviations on each side of the finish: nine of ten finish within the interval."""
LONGEST_RETRY_AFTER: Final = 7 * 86_400.0

Reason = Literal["share", "capacity", "size"]


class Work(Struct, frozen=True):
    """What is asked for: its service, that of its largest item, of how many, and how far off estimates usually are
    (standard deviation of one item, as a part of it); its price in units of 1e-12 USD, see `price`, and what tells it
    again when it comes back.
    """

    window: Window
    service: float
    weight: int = 1
    items: int = 1
    largest: float = 0.0
    deviation: float = 0.0
    batch: bool = False
    price: int = 0
    key: str = ""

    @property
    def seconds(self) -> float:
        """The length of its window."""
        return self.window.length(batch=self.batch)


class Ahead(Struct, frozen=True):
    """What the work meets: of its organization what waits, by target; what runs; what it asks for a second in shorter
    and in longer windows, let in or not; what is `booked` before it, and in shorter windows `sooner`, by due moment; of the
    others their load; and what waits of all, by due moment.
    """

    own: Backlog = EMPTY
    running: float = 0.0
    shorter: float = 0.0
    longer: float = 0.0
    booked: Backlog = EMPTY
    sooner: Backlog = EMPTY
    others: Sequence[Neighbour] = ()
    everyone: Backlog = EMPTY


class Supply(Struct, frozen=True):
    """What the targets give to queued work: service a second of a permit with the standard error of that, permits now
    and when all is well, and the moment at which the first target may be asked. `thinner` is how long a call takes once half of
    the others have ended, as a part of what it takes beside all.
    """

    each: float
    error: float
    permits: float
    usual: float = 0.0
    opens: float = 0.0
    thinner: float = 1.0

    @property
    def rate(self) -> float:
        """Service a second."""
        return self.each * self.permits

    @property
    def ill(self) -> bool:
        """Whether much less is given than when all is well: what is measured now says little of what comes."""
        return self.permits < ILL * self.usual


class Quote(Struct, frozen=True):
    """A promise. Moments, with the interval around the finish; `confidence` is the probability of finishing within the
    window; the price is that of the work.
    """

    start: float
    finish: float
    earliest: float
    latest: float
    due: float
    confidence: float
    price: int = 0


class Refusal(Struct, frozen=True):
    """No promise; `retry_after` in seconds, None where waiting does not help; the booking to keep with it."""

    reason: Reason
    retry_after: float | None
    booking: Booking | None = None


def price(of: Price, window: Window, *, input_tokens: int, output_tokens: int, factor: int = WHOLE) -> int:
    """Units for these tokens in a window: the deployment's own price for it, else its price at the window's factor."""
    asked = Tokens(input=input_tokens, output=output_tokens)
    own = any(name == window.name for name, _ in of.windows)
    if own or window.factor is None:
        return of.cost(asked, window=window.name, factor=factor)
    return of.cost(asked, window=window.name, factor=factor * window.factor // WHOLE)


def admit(
    work: Work, ahead: Ahead, supply: Supply, now: float, *, claimed: Booking | None = None
) -> Quote | Refusal:
    """The promise for work, or the refusal; `claimed` is the booking with which it comes."""
    if not supply.ill:
        return _decided(work, ahead, supply, now, claimed=claimed)
    if supply.permits >= 1.0:
        poor = _decided(work, ahead, supply, now, claimed=claimed)
        if isinstance(poor, Quote):
            return poor  # what is left of the targets suffices
    lasting = work.seconds >= BEARING * RECOVERY
    well = structs.replace(supply, permits=supply.usual, opens=now + RECOVERY if lasting else now)
    decided = _decided(work, ahead, well, now, claimed=claimed)
    if lasting and isinstance(decided, Quote):
        return decided
    after = RECOVERY if isinstance(decided, Quote) else decided.retry_after
    return Refusal("size", None) if after is None else _refused("capacity", work, after + RECOVERY, now)


def _decided(
    work: Work, ahead: Ahead, supply: Supply, now: float, *, claimed: Booking | None
) -> Quote | Refusal:
    """The same of targets that give what they are reckoned with."""
    if claimed is not None or work.batch:
        # A claim has its place already, and a batch its part of the share, however much comes in shorter windows.
        ahead = structs.replace(ahead, sooner=EMPTY)
    due = now + work.seconds
    usable = work.seconds - max(supply.opens - now, 0.0)
    fill, capacity_fill = work.window.fill, CAPACITY_FILL
    if claimed is not None:
        fill, capacity_fill = _claimed(fill), _claimed(capacity_fill)
    longest = work.largest / supply.each
    if longest > work.seconds or work.service > fill * supply.rate * work.seconds:
        return Refusal("size", None)
    if longest > usable:
        return _refused("capacity", work, supply.opens - now, now)
    late = _late(work, ahead, supply, now, fill=fill)
    if late > 0.0:
        if _done(work.service, work, ahead, supply) > fill * usable:
            # More than its organization gets in the window, however long it waits.
            return Refusal("size", None)
        late = _fits_after(work, ahead, supply, now, claimed=claimed is not None)
    late = max(late, _others_late(work, ahead, supply, now))
    over = excess(
        ahead.everyone, work.service, due=due, now=due - usable, rate=supply.rate, fill=capacity_fill
    )
    wait = max(late, over / (supply.rate * capacity_fill))
    if wait > 0.0:
        return _refused("share" if late >= wait else "capacity", work, wait, now)
    return quote(work, ahead, supply, now)


def quote(work: Work, ahead: Ahead, supply: Supply, now: float) -> Quote:
    """When work starts and finishes, were it let in now."""
    due = now + work.seconds
    opens = max(supply.opens, now)
    before = ahead.own.by(due) + ahead.running / 2.0
    begin = _done(before, work, ahead, supply)
    done = _done(before + work.service, work, ahead, supply)
    longest = max(work.window.fill * (due - opens), work.service / supply.rate)
    begin, done = min(begin, longest), min(done, longest)
    run = work.service / work.items / supply.each
    places = min(run * work.items / max(done - begin, run / max(supply.permits, 1.0)), supply.permits)
    tail = run * supply.thinner * _last(work.items, max(places, 1.0), work.deviation)
    done += tail
    spread = done * math.hypot(_relative(supply), work.deviation / math.sqrt(work.items)) + tail * min(
        work.deviation, 1.0
    )
    finish = opens + done
    return Quote(
        start=opens + begin,
        finish=finish,
        earliest=max(finish - SURE * spread, opens),
        latest=finish + SURE * spread,
        due=due,
        confidence=_normal((due - finish) / spread) if spread > 0.0 else float(finish <= due),
        price=work.price,
    )


def _last(items: int, places: float, deviation: float) -> float:
    """By how many items' length the longest of the last ones, which run side by side, ends after the middle of all.

    Where not all begin at once, what is left of those that run at the end counts: its spread is that of a gamma
    distribution's forward recurrence, within a tenth of what list scheduling gives for even to exponential lengths.
    """
    beside, whole = min(float(items), places), 1.0 + deviation * deviation
    spread = deviation
    if items > places:
        spread = math.sqrt(whole * (1.0 + 2.0 * deviation * deviation) / 3.0 - whole * whole / 4.0)
    longest = math.sqrt(2.0 * math.log(beside)) * (beside - 1.0) / (beside + 1.0)
    return max(1.0 - items / places, 0.0) + spread * longest


def targets(quote: Quote, services: Sequence[float]) -> list[float]:
    """The target of each job of a batch, in their order: each is done when its part of the whole is, at an even pace
    from the quoted start to the quoted finish.
    """
    whole = math.fsum(services)
    done = 0.0
    found = []
    for service in services:
        done += service
        found.append(quote.start + (quote.finish - quote.start) * done / whole)
    return found


def _late(work: Work, ahead: Ahead, supply: Supply, now: float, *, fill: float) -> float:
    """Seconds by which its own target would be missed, negative where it would not."""
    due = now + work.seconds
    # Its last item must begin in time to end in time, and may turn out longer than it looks.
    last = due - max(supply.opens, now) - LONGER * work.largest / supply.each
    extra = ahead.booked.by(due) + ahead.sooner.by(due) + ahead.running / 2.0 + work.service
    return _done(ahead.own.by(due) + extra, work, ahead, supply) - fill * last


def _others_late(work: Work, ahead: Ahead, supply: Supply, now: float) -> float:
    """Seconds by which the worst of its organization's later targets would be missed, were the work let in."""
    opens = max(supply.opens, now)
    extra = ahead.running / 2.0 + work.service
    return max(
        (
            _time(ahead.own.by(step) + extra, work, ahead, supply, own=0.0) - LATER_FILL * (step - opens)
            for step in _steps(ahead.own, now + work.seconds)
        ),
        default=-math.inf,
    )


def _fits_after(work: Work, ahead: Ahead, supply: Supply, now: float, *, claimed: bool) -> float:
    """Seconds after which the work fits, if all goes on as it does: the smallest fixed point, from below.

    A fresh booking is to find the window emptier than it has to be, at a somewhat lower rate: what is left over lets
    fresh work in, and absorbs what was not foreseen. A claim that came too early keeps its place in the line.
    """
    fill, slower = (_claimed(work.window.fill), 1.0) if claimed else (work.window.fill * LATER, SLOWER)
    usable = work.seconds - max(supply.opens - now, 0.0) - LONGER * work.largest / supply.each
    due = now + work.seconds
    first = ahead.own.by(due)
    mine = ahead.running / 2.0 + work.service
    share = _share(first + mine, work, ahead, supply)
    longer = min(ahead.longer, PACE * share)
    shorter = min(ahead.shorter, OTHERS * share - longer)
    wait = 0.0
    for _ in range(ROUNDS):
        # Until then more of what waits comes near: what is known of it, or what is let in meanwhile.
        nearer = max(ahead.own.by(due + wait) - first, longer * wait)
        needed = first + nearer + ahead.booked.by(due + wait) + mine
        # What comes in shorter windows is known by its rate, and in part by its bookings: it is the same work.
        known = _time(needed + ahead.sooner.by(due + wait), work, ahead, supply, own=0.0)
        later = slower * max(_time(needed, work, ahead, supply, own=shorter), known) - fill * usable
        if math.isinf(later):
            return LONGEST_RETRY_AFTER
        if later <= wait + 0.5:
            break
        wait = later
    return max(wait, 1.0)


def _claimed(fill: float) -> float:
    """How full a window may be for work that comes with its booking."""
    return fill + (1.0 - fill) * CLAIMED


def _share(service: float, work: Work, ahead: Ahead, supply: Supply) -> float:
    """Service a second of its organization, while it waits for so much."""
    return service / _time(service, work, ahead, supply, own=0.0)


def _done(service: float, work: Work, ahead: Ahead, supply: Supply) -> float:
    """Seconds until so much of its organization is done. Beside a batch comes what is due earlier, up to a part of the
    share: the batch's targets hold back the rest.
    """
    alone = _time(service, work, ahead, supply, own=0.0)
    if not work.batch or alone == 0.0:
        return alone
    return min(_time(service, work, ahead, supply, own=ahead.shorter), alone / PACE)


def _steps(own: Backlog, due: float) -> tuple[float, ...]:
    """A few later due moments at which an organization's promises are densest."""
    later = [
        (until / (step - due + 1.0), step)
        for step, until in zip(own.dues, own.until, strict=True)
        if step > due
    ]
    return tuple(step for _, step in sorted(later, reverse=True)[:3])


def _time(service: float, work: Work, ahead: Ahead, supply: Supply, *, own: float) -> float:
    return time_for(service, ahead.others, weight=float(work.weight), rate=supply.rate, own=own)


def _refused(reason: Reason, work: Work, wait: float, now: float) -> Refusal:
    after = min(float(math.ceil(max(wait, 1.0))), LONGEST_RETRY_AFTER)
    return Refusal(reason, after, booking(work.key, work.service, work.seconds, now=now, after=after))


def _relative(supply: Supply) -> float:
    """Standard error of the rate as a part of it; as good as nothing is known from one sample."""
    return supply.error / supply.each if math.isfinite(supply.error) else 1.0


def _normal(z: float) -> float:
    """Probability of a standard normal below z."""
    return 0.5 * (1.0 + math.erf(z / math.sqrt(2.0)))
