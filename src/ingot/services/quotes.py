"""Quotes: what work costs and when it will be done, were it sent now. Nothing is taken, reserved or remembered by one.

    Portion: requests of one model and window --desk--> accepted or not, when
                                             '-prices-> the most, the expected

Work of several portions is done when the last of them is, costs what they cost together, and is accepted where all are.
Decides amounts and times; refuses to know bodies and files.
"""

import math
from collections.abc import Sequence

from ingot.dialects.quotes import QuotedPrice, WindowQuote
from ingot.pricing import WHOLE, Tokens, usd
from ingot.scheduling.quotes import Quote, Refusal
from ingot.services.batches.survey import Portion
from ingot.services.desk import Decided, Load
from ingot.services.hitrates import factor
from ingot.services.keys import Principal
from ingot.services.pacing import EACH, lane_of
from ingot.services.runtime import Runtime


async def quote(
    runtime: Runtime,
    who: Principal,
    portions: Sequence[Portion],
    *,
    window: str,
    batch: bool,
    waits: bool = True,
) -> WindowQuote:
    """What is promised for work under the name of a window; `waits` false: its client waits for it, and it is begun at once."""
    price = _price(runtime, who, portions)
    if not waits:
        return _at_once(runtime, portions, window, price)
    told = [await runtime.desk.quote(runtime.catalog, _load(who, each, batch=batch)) for each in portions]
    refused = [each.told for each in told if isinstance(each.told, Refusal)]
    measured = all(each.measured for each in told)
    if refused:
        return _refused(refused, window, price, measured=measured)
    return _promised(told, window, price, measured=measured)


def _load(who: Principal, portion: Portion, *, batch: bool) -> Load:
    return Load(
        org_id=who.org_id,
        model=portion.deployment.name,
        window=portion.window,
        weight=who.grant.weight,
        items=portion.items,
        read=math.ceil(portion.read / portion.items),
        written=math.ceil(portion.written / portion.items),
        largest=portion.largest,
        batch=batch,
    )


def _price(runtime: Runtime, who: Principal, portions: Sequence[Portion]) -> QuotedPrice:
    most = expected = 0
    plan = who.grant.price_factor
    for each in portions:
        price = each.deployment.price
        usual = price.cost(
            Tokens(input=each.read, output=expected_output(runtime, each)), window=each.window, factor=plan
        )
        most += max(each.most, usual)
        expected += usual
    part = sum(factor(each.deployment.price, each.window) * each.items for each in portions)
    return QuotedPrice(
        most_usd=usd(most),
        expected_usd=usd(expected),
        factor=round(part / sum(each.items for each in portions), 6),
        plan_factor=plan / WHOLE,
    )


def expected_output(runtime: Runtime, portion: Portion) -> int:
    """Tokens that will probably be written."""
    return math.ceil(portion.written * runtime.desk.pacing.ratio(portion.deployment.name))


def _at_once(runtime: Runtime, portions: Sequence[Portion], window: str, price: QuotedPrice) -> WindowQuote:
    now = runtime.clock.now()
    runs, measured = 0.0, True
    for each in portions:
        lane = lane_of(runtime.catalog, each.deployment.name)
        work = runtime.desk.pacing.expected(each.deployment.name, *each.largest)
        calls = runtime.desk.calls(lane) + each.items
        supply = runtime.desk.pacing.supply(lane, now, calls=calls)
        runs = max(runs, work / (EACH if supply is None else supply.each))
        measured = measured and supply is not None
    return WindowQuote(
        completion_window=window,
        accepted=True,
        price=price,
        starts_at=_shown(now),
        finishes_at=_shown(now + runs),
        earliest_at=_shown(now),
        latest_at=_shown(now + 2.0 * runs),
        measured=measured,
    )


def _promised(told: Sequence[Decided], window: str, price: QuotedPrice, *, measured: bool) -> WindowQuote:
    quotes = [each.told for each in told if isinstance(each.told, Quote)]
    return WindowQuote(
        completion_window=window,
        accepted=True,
        price=price,
        starts_at=_shown(min(each.start for each in quotes)),
        finishes_at=_shown(max(each.finish for each in quotes)),
        earliest_at=_shown(max(each.earliest for each in quotes)),
        latest_at=_shown(max(each.latest for each in quotes)),
        due_at=_shown(max(each.due for each in quotes)),
        confidence=round(min(each.confidence for each in quotes), 4) if measured else None,
        measured=measured,
    )


def _refused(refused: Sequence[Refusal], window: str, price: QuotedPrice, *, measured: bool) -> WindowQuote:
    waits = [each.retry_after for each in refused]
    never = next((each for each in refused if each.retry_after is None), None)
    worst = never or max(refused, key=lambda each: each.retry_after or 0.0)
    return WindowQuote(
        completion_window=window,
        accepted=False,
        price=price,
        measured=measured,
        reason=worst.reason,
        retry_after=None if never else max(each for each in waits if each is not None),
    )


def _shown(moment: float) -> float:
    return round(moment, 3)
