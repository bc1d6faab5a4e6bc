"""Usage as an organization reads it, on both databases: summary, breakdown, request log, export."""

import csv
import io
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, Insert, delete, insert, update

from databases import Place
from ingot.pricing import Price, frozen, rates
from ingot.services.requestlog import COLUMNS, EXPORT_ROWS
from ingot.store.responses import EXAMINED
from ingot.store.schema import (
    DEFAULT_ORG,
    api_keys,
    balances,
    ledger,
    micros,
    peppers,
    subscriptions,
    usage_hours,
)
from ingot.store.usage import rederive
from ledgerbook import DAY, NOW, Entry, add_organization, book, hours_of, unguarded
from pagehouse import Pages, open_pages

HOUR = 3600.0
ORG = "org_one"
CENT = 10**10

ENTRIES = [
    Entry(number=1, org=ORG, at=NOW, tokens=(100, 40, 50), cost=3 * CENT),
    Entry(number=2, org=ORG, at=NOW - 2 * HOUR, tokens=(10, 0, 5), cost=CENT // 4, window="standard", key="key_two"),
    Entry(number=3, org=ORG, at=NOW - 3 * DAY, tokens=(1000, 0, 500), cost=7 * CENT, model="large"),
    Entry(number=4, org=ORG, at=NOW - 29 * DAY, tokens=(7, 0, 3), cost=0, model="free", window="flex"),
    Entry(number=5, org=ORG, at=NOW - 40 * DAY, tokens=(200, 100, 100), cost=21 * CENT),
    Entry(number=6, org="org_two", at=NOW, tokens=(9_999, 0, 9_999), cost=99 * CENT),
]  # fmt: skip


def _fill(conn: Connection) -> None:
    add_organization(conn, ORG, plan="plan_pro", prepaid=True)
    add_organization(conn, "org_two")
    conn.execute(insert(balances), {"org_id": ORG, "balance": 500 * CENT})
    book(conn, ENTRIES)


def _add(conn: Connection, statement: Insert, row: dict[str, object]) -> None:
    conn.execute(statement, row)


@pytest.fixture
async def pages(backend: Place) -> AsyncIterator[Pages]:
    """Two organizations; the first has used this and that for 40 days."""
    async with open_pages(backend) as opened:
        await opened.db.write(_fill)
        yield opened


async def _ask(pages: Pages, path: str, org: str = ORG) -> Any:
    status, body = await pages.call(f"/v1/usage{path}", org=org)
    assert status == 200, body
    return json.loads(body)


async def test_c64_summary_is_whole_when_asked(pages: Pages) -> None:
    """Every figure of the row, over 30 days unless asked otherwise; money in cents."""
    hours = 29 * 24 + 13  # 29 days before today, and 13 hours of it
    before = NOW - NOW % DAY - 29 * DAY - hours * HOUR
    assert before < ENTRIES[4].at
    assert await _ask(pages, "") == {
        "object": "usage.summary",
        "range": "30d",
        "period_spend": 10.25,
        "burn_rate": pytest.approx(10.25 / 7),
        "balance": 500.0,
        "balance_unavailable": False,
        "days_remaining": pytest.approx(500 / (10.25 / 7), abs=0.01),
        "plan_type": "pro",
        "model_count": 3,
        "tokens": {"total": 1675, "input": 1117, "output": 558, "cached": 40},
        "avg_cost_per_day": pytest.approx(10.25 / hours * 24),
        "sla_mix": {"asap": 50.0, "standard": 25.0, "flex": 25.0},
        "prior_period": {
            "period_spend": 21.0,
            "tokens": {"total": 300, "input": 200, "output": 100, "cached": 100},
            "avg_cost_per_day": pytest.approx(21 / hours * 24),
            "model_count": 1,
        },
    }


@pytest.mark.parametrize(("name", "spend"), [("24h", 3.25), ("7d", 10.25), ("30d", 10.25), ("period", 10.25)])
async def test_c64_range_decides_when_given(pages: Pages, name: str, spend: float) -> None:
    """The hours up to now: a day, a week, a month, the calendar month."""
    found = await _ask(pages, f"?range={name}")
    assert (found["range"], found["period_spend"]) == (name, spend)
    assert found["burn_rate"] == pytest.approx(10.25 / 7)


async def test_c64_period_is_the_subscriptions_when_there_is_one(pages: Pages) -> None:
    """It begins in the middle of a month, with the running one."""
    row = {"org_id": ORG, "plan_id": "plan_pro", "started_at": 0, "period_end": micros(NOW + 20 * DAY)}
    periods = [
        row | {"id": "sub_1", "period_start": micros(NOW - 60 * DAY), "ended_at": 1},
        row | {"id": "sub_2", "period_start": micros(NOW - DAY), "ended_at": None},
    ]
    await pages.db.write(lambda conn: conn.execute(insert(subscriptions), periods))
    found = await _ask(pages, "?range=period")
    assert found["period_spend"] == 3.25
    assert len((await _ask(pages, "/breakdown?range=period"))["data"]) == 2


async def test_c64_balance_is_told_as_missing_when_there_is_none(pages: Pages) -> None:
    """An organization that nobody booked anything for; one that needs no credit lasts for ever."""
    found = await _ask(pages, "", "org_two")
    assert (found["balance"], found["balance_unavailable"], found["days_remaining"]) == (None, True, None)
    await pages.db.write(
        lambda conn: conn.execute(insert(balances), {"org_id": "org_two", "balance": -99 * CENT})
    )
    found = await _ask(pages, "", "org_two")
    assert (found["balance"], found["balance_unavailable"], found["days_remaining"]) == (-99.0, False, None)
    found = await _ask(pages, "", "org_unknown")
    assert (found["plan_type"], found["period_spend"], found["model_count"]) == (None, 0.0, 0)
    assert found["sla_mix"] == {"asap": 0.0, "standard": 0.0}


async def test_c64_days_are_none_left_when_the_balance_is_spent(pages: Pages) -> None:
    """Zero, and never below."""
    spent = update(balances).where(balances.c.org_id == ORG).values(balance=-CENT)
    await pages.db.write(lambda conn: conn.execute(spent))
    assert (await _ask(pages, ""))["days_remaining"] == 0.0


async def test_c65_days_are_broken_down_when_asked(pages: Pages) -> None:
    """Each day of the range, empty ones too, by model and by window; the dearest model first."""
    found = await _ask(pages, "/breakdown")
    assert set(found) == {"object", "granularity", "data", "models"}
    assert (found["object"], found["granularity"], len(found["data"])) == ("usage.breakdown", "day", 30)
    today = int(NOW - NOW % DAY)
    assert [each["timestamp"] for each in found["data"]] == [today - n * 86400 for n in reversed(range(30))]
    fast = {"total": 3.25, "tokens": 165, "input_tokens": 110, "output_tokens": 55, "cached_tokens": 40}
    asap = {"total": 3.0, "tokens": 150, "input_tokens": 100, "output_tokens": 50, "cached_tokens": 40}
    late = {"total": 0.25, "tokens": 15, "input_tokens": 10, "output_tokens": 5, "cached_tokens": 0}
    assert found["data"][-1] == {
        "timestamp": today,
        "total": 3.25,
        "models": {"mock": fast},
        "slas": {"asap": asap, "standard": late},
    }
    assert found["data"][-2] == {"timestamp": today - 86400, "total": 0.0, "models": {}, "slas": {}}
    assert [each["model"] for each in found["models"]] == ["large", "mock", "free"]
    assert found["models"][1] == {"model": "mock", "percentage": 31.71, **fast}
    assert sum(each["percentage"] for each in found["models"]) == pytest.approx(100, abs=0.02)


async def test_c65_hours_are_broken_down_when_one_day_is_asked_for(pages: Pages) -> None:
    """24 of them, for a date or for the last 24; a share is of the tokens where all was free."""
    day = await _ask(pages, "/breakdown?range=day&date=2025-11-25")
    assert (day["granularity"], len(day["data"])) == ("hour", 24)
    assert {each["timestamp"]: each["total"] for each in day["data"] if each["total"]} == {
        int(NOW - 3 * DAY): 7.0
    }
    last = await _ask(pages, "/breakdown?range=24h")
    assert (last["granularity"], len(last["data"])) == ("hour", 24)
    assert [each["total"] for each in last["data"][-3:]] == [0.25, 0.0, 3.0]
    free = await _ask(pages, "/breakdown?range=day&date=2025-10-30")
    assert free["models"] == [
        {"model": "free", "total": 0.0, "tokens": 10, "input_tokens": 7, "output_tokens": 3, "cached_tokens": 0,
         "percentage": 100.0}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("?range=1h", "range"),
        ("?range=day", "range"),
        ("?range=", "range"),
        ("/breakdown?range=year", "range"),
        ("/breakdown?range=day", "date"),
        ("/breakdown?range=day&date=2025-02-30", "date"),
        ("/breakdown?range=day&date=20250228", "date"),
        ("/breakdown?range=7d&date=2025-02-28", "date"),
        ("/requests?limit=0", "limit"),
        ("/requests?after=resp_none", "after"),
        ("/requests?key=%00", "key"),
        ("/requests?model=", "model"),
        ("/export?range=1y", "range"),
        ("/export?range=day&date=x", "date"),
        ("?range=7d&range=30d", "range"),
        ("/breakdown?range=day&date=2025-11-25&date=2025-11-25", "date"),
        ("/requests?limit=5&model=m&limit=5", "limit"),
        ("/export?key=a&key=b", "key"),
        ("/export?from=2025-11-26&to=2025-11-25", "from"),
    ],
)
async def test_parameter_is_named_when_it_is_wrong(pages: Pages, path: str, param: str) -> None:
    """400, never 500."""
    status, body = await pages.call(f"/v1/usage{path}", org=ORG)
    error = json.loads(body)["error"]
    assert (status, error["param"], error["type"]) == (400, param, "invalid_request_error")


async def test_requests_are_paged_when_listed(pages: Pages) -> None:
    """Newest first, without content, and only the organization's own."""
    page = await _ask(pages, "/requests?limit=2")
    assert (page["object"], page["has_more"]) == ("list", True)
    assert [each["response_id"] for each in page["data"]] == ["chatcmpl-1", "chatcmpl-2"]
    assert page["data"][1] == {
        "object": "usage.request",
        "id": ENTRIES[1].id,
        "response_id": "chatcmpl-2",
        "created_at": int(NOW - 2 * HOUR),
        "key_id": "key_two",
        "surface": "chat",
        "model": "mock",
        "window": "standard",
        "status": 200,
        "state": "completed",
        "error": None,
        "streamed": False,
        "input_tokens": 10,
        "cached_tokens": 0,
        "output_tokens": 5,
        "reasoning_tokens": 1,
        "cost": 0.25,
        "cost_usd": "0.0025",
        "first_token_ms": 250.0,
        "duration_ms": 1500.0,
        "request_id": "req_2",
        "fidelity": "verbatim",
        "achieved_window": "asap",
        "queue_ms": 0.0,
        "price": None,
        "webhook": None,
        "losses": [],
    }
    rest = await _ask(pages, f"/requests?after={page['last_id']}")
    assert [each["response_id"] for each in rest["data"]] == ["chatcmpl-3", "chatcmpl-4", "chatcmpl-5"]
    assert not rest["has_more"]
    foreign, missing = [
        await pages.call(f"/v1/usage/requests?after={which}", org=ORG)
        for which in (ENTRIES[5].id, "resp_none")
    ]
    assert foreign == missing


async def test_requests_are_filtered_when_a_key_or_model_is_named(pages: Pages) -> None:
    """The key by its id or its kid; another organization's key is nobody's."""
    key = {"id": "key_two", "kid": "kid2", "digest": b"d", "pepper": 1, "last4": "abcd", "name": "n",
           "source": "issued", "created_at": 0, "org_id": ORG}  # fmt: skip
    pepper = {"version": 1, "fingerprint": b"f", "created_at": 0}
    for table, row in ((peppers, pepper), (api_keys, key)):
        await pages.db.write(partial(_add, statement=insert(table), row=row))
    for which in ("key_two", "kid2"):
        page = await _ask(pages, f"/requests?key={which}")
        assert [each["response_id"] for each in page["data"]] == ["chatcmpl-2"]
        assert not page["has_more"]
    assert [each["model"] for each in (await _ask(pages, "/requests?model=large"))["data"]] == ["large"]
    assert (await _ask(pages, "/requests?key=kid2", "org_two"))["data"] == []
    assert (await _ask(pages, "/requests?key=key_one&model=large"))["data"] != []


async def test_pages_lead_on_when_a_filter_fits_few(pages: Pages, backend: Place) -> None:
    """A page looks at so many requests and no more; the next one goes on from there."""
    count = EXAMINED + 50
    many = (Entry(number=100 + n, at=NOW - 2 * DAY - n, org=ORG, cost=0) for n in range(count))
    await pages.db.write(lambda conn: book(conn, many))
    page = await _ask(pages, "/requests?model=large")
    assert (page["data"], page["has_more"]) == ([], True)
    page = await _ask(pages, f"/requests?model=large&after={page['last_id']}")
    assert [each["response_id"] for each in page["data"]] == ["chatcmpl-3"]
    found = [each async for each in pages.openai(ORG).chat.completions.list(model="large", limit=1)]
    assert [each.id for each in found] == ["chatcmpl-3"], backend.kind


async def test_export_is_complete_when_longer_than_a_read(pages: Pages) -> None:
    """Every request of the range as CSV, in the order of the log."""
    count = 2 * EXPORT_ROWS
    many = [Entry(number=100 + n, at=NOW - 2 * DAY - n, org=ORG, model='a,b"c') for n in range(count)]
    await pages.db.write(lambda conn: book(conn, many))
    status, body = await pages.call("/v1/usage/export?range=7d", org=ORG)
    assert status == 200
    rows = list(csv.DictReader(io.StringIO(body.decode())))
    assert tuple(rows[0]) == COLUMNS
    assert [row["response_id"] for row in rows[:2]] == ["chatcmpl-1", "chatcmpl-2"]
    assert len(rows) == count + 3
    assert rows[2]["model"] == 'a,b"c'
    assert (rows[0]["created_at"], rows[0]["cost_usd"], rows[0]["streamed"]) == (
        "2025-11-28T12:00:00.000Z",
        "0.03",
        "1",
    )
    assert rows[0]["error"] == ""
    assert await pages.call("/v1/usage/export?range=7d", org=ORG, method="HEAD") == (200, b"")
    one = (await pages.call("/v1/usage/export?range=day&date=2025-11-25&model=large", org=ORG))[1]
    assert [row["response_id"] for row in csv.DictReader(io.StringIO(one.decode()))] == ["chatcmpl-3"]


async def test_export_can_be_reckoned_again_when_a_model_thinks(pages: Pages) -> None:
    """Every price that a token of the row can have is in it, that of thoughts too."""
    price = frozen(
        Price(rates(2_000_000, 8_000_000, reasoning=9_000_000, cached_input=1_000_000)), window="asap"
    )
    billed = update(ledger).where(ledger.c.billable_id == ENTRIES[0].id)

    def bill(conn: Connection) -> None:
        with unguarded(conn):
            conn.execute(billed.values(price=price))

    await pages.db.write(bill)
    _, body = await pages.call("/v1/usage/export?range=7d", org=ORG)
    rows = list(csv.DictReader(io.StringIO(body.decode())))
    told = [
        [row[f"price_{kind}"] for kind in ("input", "cached_input", "output", "reasoning")] for row in rows
    ]
    assert ["2", "1", "8", "9"] in told
    assert ["", "", "", ""] in told


@pytest.mark.parametrize("path", ["", "/breakdown", "/requests", "/export"])
async def test_usage_when_a_parameter_is_unknown(pages: Pages, path: str) -> None:
    """It would give other figures than were asked for, so each page refuses it and names its own."""
    for query in ("foo=1", "from=2025-11-01"):
        status, body = await pages.call(f"/v1/usage{path}?{query}", org=ORG)
        told = json.loads(body)["error"]
        assert (status, told["param"]) == (400, query.partition("=")[0])
        assert "There is range." in told["message"] if not path else " and " in told["message"]


async def test_hours_are_the_same_when_derived_from_the_ledger(pages: Pages) -> None:
    """What settlements added one by one is what the ledger says; other kinds of rows are no usage."""

    def derive(conn: Connection, org_id: str | None) -> None:
        before = hours_of(conn)
        assert len(before) == len(ENTRIES)
        gift = {"billable_id": "topup_1", "org_id": ORG, "kind": "topup", "amount": CENT, "at": micros(NOW)}
        refund = gift | {"billable_id": "refund_1", "kind": "refund", "key_id": "key_one"}
        for row in (gift, refund):
            conn.execute(insert(ledger), row | {"billable_id": f"{row['billable_id']}{org_id}"})
        wrong = update(usage_hours).values(amount=1, requests=77)
        gone = delete(usage_hours).where(usage_hours.c.model == "large")
        for change in (wrong, gone):
            conn.execute(change.where(usage_hours.c.org_id == org_id) if org_id else change)
        hours = int(NOW) // 3600
        rederive(conn, org_id, since=hours - 2_000, until=hours + 1)
        assert hours_of(conn) == before

    await pages.db.write(lambda conn: derive(conn, None))
    await pages.db.write(lambda conn: derive(conn, ORG))


async def test_other_hours_stay_when_some_are_derived(pages: Pages) -> None:
    """Up to `until`, from `since`, and of one organization: nothing else is touched."""

    def derive(conn: Connection) -> None:
        conn.execute(update(usage_hours).values(amount=1))
        hours = int(NOW) // 3600
        rederive(conn, ORG, since=hours - 2, until=hours)
        assert sorted(row[-1] for row in hours_of(conn)) == [1, 1, 1, 1, 1, CENT // 4]

    await pages.db.write(derive)


async def test_default_organization_is_answered_when_nothing_was_used(pages: Pages) -> None:
    """The operator's own, from the first start on."""
    found = await _ask(pages, "", DEFAULT_ORG)
    assert (found["plan_type"], found["balance"], found["period_spend"]) == ("operator", 0.0, 0.0)
