"""Money over the admin API: what an operator gives, what an organization does with it, and what each of them sees."""

import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from adminhouse import Browser, House, open_house
from databases import Place
from ingot.pricing import usd
from ingot.services.ledger import Form, Ledger
from ingot.services.money import open_money
from ingot.store.ledger import PAGE, Span
from ingot.store.schema import audit, ledger
from ingot.web import admin
from ingot.web.admin import keys, money
from ingot.web.intake import LOOPBACK_HOSTS, Hosts
from ledgerbook import Entry, book
from treasury import Treasury


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """An admin API with the routes of money and keys."""
    async with open_house(tmp_path) as opened:
        rows = (
            *keys.routes(opened.ring.desk),
            *money.routes(open_money(opened.db, clock=opened.clock)),
        )
        built = admin.build(
            opened.accounts, rows, changes=opened.changes, hosts=Hosts(LOOPBACK_HOSTS), log=opened.log
        )
        opened.api._places = built._places
        yield opened


async def _done(caller: Browser, method: str, path: str, body: Any = None, *, status: int = 201) -> Any:
    got, _, answer = await caller.call(method, f"/admin/v1{path}", body)
    assert got == status, answer
    return answer


ROWS = 4_100


@pytest.fixture
async def books(backend: Place, tmp_path: Path) -> AsyncIterator[tuple[House, str, Browser]]:
    """The ledger of an organization with more rows than are read at once, another's beside it, on both databases."""
    async with open_house(tmp_path, place=backend) as opened:
        rows = money.routes(open_money(opened.db, clock=opened.clock))
        built = admin.build(
            opened.accounts, rows, changes=opened.changes, hosts=Hosts(LOOPBACK_HOSTS), log=opened.log
        )
        opened.api._places = built._places
        org, other = await opened.organization(), await opened.organization("Elsewhere")
        entries = [
            Entry(number=number, at=1_700_000_000 + number, org=other if number % 100 == 0 else org)
            for number in range(ROWS)
        ]
        await opened.execute(insert(ledger), [entry.ledger() for entry in entries])
        yield opened, org, await opened.member("owner@example.org", org)


@pytest.mark.parametrize(
    ("query", "accept", "form"),
    [
        ("?format=csv", "", "csv"),
        ("", "text/csv;q=1, application/json", "csv"),
        ("?format=jsonl", "text/csv", "jsonl"),
        ("", "application/jsonl", "jsonl"),
    ],
)
async def test_ledger_is_a_file_when_it_is_asked_for_whole(
    books: tuple[House, str, Browser], query: str, accept: str, form: Form
) -> None:
    """All rows of the organization, the oldest first, as the command writes them; nobody else's."""
    house, org, owner = books
    status, headers, body = await owner.fetch(
        "GET", f"/admin/v1/organizations/{org}/ledger{query}", headers={"accept": accept}
    )
    assert (status, headers["transfer-encoding"]) == (200, "chunked")
    assert headers["content-disposition"] == f'attachment; filename="ledger.{form}"'
    assert headers["content-type"] == money.LEDGER_TYPES[form]
    told = [piece async for piece in Ledger(house.db).export(Span(org_id=org), form)]
    assert body.decode() == "".join(told)
    assert body.count(b"\n") == ROWS - ROWS // 100 + (form == "csv")
    head = await owner.fetch("HEAD", f"/admin/v1/organizations/{org}/ledger?format=csv")
    assert (head[0], head[2]) == (200, b"")


async def test_file_of_the_ledger_is_bounded_when_a_span_and_a_kind_are_named(
    books: tuple[House, str, Browser],
) -> None:
    """The filters of the pages hold; what belongs to pages is refused; JSON stays the answer to everybody else."""
    house, org, owner = books
    path = f"/organizations/{org}/ledger"
    till = open_money(house.db, clock=house.clock)
    await till.credits.top_up(org, 10**12, actor="cli")
    _, _, body = await owner.fetch("GET", f"/admin/v1{path}?format=jsonl&kind=topup")
    assert [json.loads(line)["kind"] for line in body.splitlines()] == ["topup"]
    _, _, body = await owner.fetch("GET", f"/admin/v1{path}?format=jsonl&start=1700000001&end=1700000004")
    assert len(body.splitlines()) == 3
    for query, param in (("limit=2", "limit"), ("before=x", "before"), ("start=20&end=10", "end")):
        answer = await _done(owner, "GET", f"{path}?format=csv&{query}", status=400)
        assert answer["error"]["param"] == param
    for accept in ("*/*", "application/json, text/csv", "text/html"):
        status, _, page = await owner.call("GET", f"/admin/v1{path}", headers={"accept": accept})
        assert (status, len(page["data"])) == (200, 50)


async def test_ledger_is_read_as_its_reader_goes_on(books: tuple[House, str, Browser]) -> None:
    """A piece is one read of a bounded number of rows, however many there are."""
    house, org, _ = books
    pieces, reads = Ledger(house.db).export(Span(org_id=org), "jsonl"), house.db.tally.reads
    async for piece in pieces:
        reads += 1
        assert (house.db.tally.reads, piece.count("\n") <= PAGE) == (reads, True)
    assert house.db.tally.reads == reads + 1


async def test_credit_moves_when_an_operator_says_so(house: House) -> None:
    """Topped up once for one reference, refunded in part, corrected; the organization sees each row."""
    org = await house.organization()
    owner = await house.member("owner@example.org", org)
    root = await house.person("root@example.org", operator=True)
    assert root.user
    body = {"organization": org, "amount": "10.000000000001", "reference": "pi_1", "note": "by card"}
    paid = await _done(root, "POST", "/credits/topups", body)
    assert (paid["balance"], paid["repeated"], paid["entry"]["kind"]) == ("10.000000000001", False, "topup")
    again = await _done(root, "POST", "/credits/topups", body)
    assert (again["balance"], again["repeated"]) == ("10.000000000001", True)
    other = body | {"amount": "11"}
    assert (
        "reference" in (await _done(root, "POST", "/credits/topups", other, status=409))["error"]["message"]
    )
    back = await _done(root, "POST", "/credits/refunds", {"entry": paid["entry"]["id"], "amount": "4"})
    assert (back["balance"], back["entry"]["amount"]) == ("6.000000000001", "-4")
    slip = {"organization": org, "amount": "-1", "note": "counted twice"}
    assert (await _done(root, "POST", "/credits/corrections", slip))["balance"] == "5.000000000001"
    most = {"organization": org, "amount": "-6", "note": "too much"}
    assert (
        "below zero"
        in (await _done(root, "POST", "/credits/corrections", most, status=409))["error"]["message"]
    )

    seen = await _done(owner, "GET", f"/organizations/{org}/credits", status=200)
    assert (seen["standing"]["balance"], seen["standing"]["prepaid"]) == ("5.000000000001", True)
    assert seen["sums"] == {"correction": "-1", "refund": "-4", "topup": "10.000000000001"}
    assert [row["kind"] for row in seen["last"]] == ["correction", "refund", "topup"]
    noted = select(audit.c.actor).where(audit.c.action == "credits.topup")
    assert await house.rows(noted) == [(root.user.id,)]


async def test_c_50_credit_comes_and_goes(house: House) -> None:
    """Topped up, spent, given back in part, corrected to nothing: each a row, with its price, and all adds up."""
    org = await house.organization()
    owner = await house.member("owner@example.org", org)
    root = await house.person("root@example.org", operator=True)
    await _done(root, "POST", "/credits/topups", {"organization": org, "amount": "12.50"})
    treasury = Treasury(house.db, house.clock)
    call = treasury.call(3 * 10**12, org_id=org)
    await treasury.settle(call)
    back = {"entry": call.id, "amount": "1", "note": "slow"}
    assert (await _done(root, "POST", "/credits/refunds", back))["balance"] == "10.5"
    await _done(root, "POST", "/credits/refunds", back | {"amount": "2.1"}, status=409)
    mend = {"organization": org, "amount": "-10.5", "note": "counted twice", "refers_to": call.id}
    assert (await _done(root, "POST", "/credits/corrections", mend))["balance"] == "0"
    page = await _done(owner, "GET", f"/organizations/{org}/ledger?kind=inference", status=200)
    assert [row["price"] for row in page["data"]] == ['{"input":1,"output":1}']
    assert (await Ledger(house.db).verify()).findings == []


async def test_code_is_redeemed_once_when_the_organization_has_it(house: House) -> None:
    """Made by an operator, redeemed by an administrator, ended, listed with its uses."""
    org = await house.organization()
    boss = await house.member("admin@example.org", org, role="admin")
    root = await house.person("root@example.org", operator=True)
    made = await _done(root, "POST", "/promos", {"amount": "5", "code": "welcome", "most_uses": 9})
    assert (made["code"], made["amount"], made["uses"]) == ("WELCOME", "5", 0)
    path = f"/organizations/{org}/promos/redeem"
    assert (await _done(boss, "POST", path, {"code": " Welcome"}))["balance"] == "5"
    assert "once" in (await _done(boss, "POST", path, {"code": "WELCOME"}, status=409))["error"]["message"]
    await _done(boss, "POST", path, {"code": "NOTHING"}, status=404)
    ended = await _done(root, "DELETE", "/promos/welcome", status=200)
    assert (ended["uses"], ended["ended_at"]) == (1, 1_800_000_000)
    assert (await _done(root, "GET", "/promos", status=200))["data"] == [ended]


async def test_budget_is_kept_when_an_administrator_sets_it(house: House) -> None:
    """Of the organization or of a key; set again it changes; one that is over is not there."""
    org = await house.organization()
    boss = await house.member("admin@example.org", org, role="admin")
    path = f"/organizations/{org}/budgets"
    first = await _done(boss, "PUT", path, {"cap": "100"}, status=200)
    assert (first["cap"], first["period"], first["left"], first["key_id"]) == ("100", "month", "100", None)
    changed = await _done(boss, "PUT", path, {"cap": "50.5"}, status=200)
    assert (changed["id"], changed["cap"]) == (first["id"], "50.5")
    key = await _done(boss, "POST", f"/organizations/{org}/keys", {"name": "app"})
    own = await _done(
        boss, "PUT", path, {"cap": "1", "period": "total", "key": key["info"]["id"]}, status=200
    )
    listed = await _done(boss, "GET", path, status=200)
    assert {each["id"] for each in listed["data"]} == {first["id"], own["id"]}
    assert await _done(boss, "DELETE", f"{path}/{own['id']}", status=200) == {
        "id": own["id"],
        "deleted": True,
    }
    await _done(boss, "DELETE", f"{path}/{own['id']}", status=404)
    await _done(boss, "PUT", path, {"cap": "1", "key": "key_elsewhere"}, status=404)


async def test_subscription_ends_when_its_owner_cancels(house: House) -> None:
    """An operator starts it, as nobody collects its price here; the owner sees and cancels it."""
    org = await house.organization()
    owner = await house.member("owner@example.org", org)
    root = await house.person("root@example.org", operator=True)
    started = await _done(root, "POST", "/subscriptions", {"organization": org, "plan": "pro"})
    assert (started["organization"], started["plan_id"], started["cancelled_at"]) == (org, "plan_pro", None)
    await _done(root, "POST", "/subscriptions", {"organization": org, "plan": "pro"}, status=409)
    await _done(owner, "POST", "/subscriptions", {"organization": org, "plan": "pro"}, status=403)
    ended = await _done(owner, "POST", f"/organizations/{org}/subscriptions/cancel", status=200)
    assert ended["cancelled_at"] == 1_800_000_000
    assert (await _done(owner, "GET", f"/organizations/{org}/subscriptions", status=200))["data"] == [ended]


async def test_ledger_is_whole_when_read_page_by_page(house: House) -> None:
    """The newest first, none twice and none left out, of one kind where asked; nobody else's."""
    org, other = await house.organization(), await house.organization("Elsewhere")
    owner = await house.member("owner@example.org", org)
    till = open_money(house.db, clock=house.clock)
    for number in range(5):
        await till.credits.top_up(org, 10**12 + number, actor="cli")
        await till.credits.top_up(other, 10**12, actor="cli")
    await till.credits.correct(org, 1, actor="cli", note="a slip")
    path, found, following = f"/organizations/{org}/ledger", [], ""
    while True:
        page = await _done(owner, "GET", f"{path}?limit=2{following}", status=200)
        found += page["data"]
        if page["next"] is None:
            break
        following = f"&before={page['next']}"
    assert [row["amount"] for row in found[1:]] == [usd(10**12 + number) for number in (4, 3, 2, 1, 0)]
    assert {row["organization"] for row in found} == {org}
    (only,) = (await _done(owner, "GET", f"{path}?kind=correction", status=200))["data"]
    assert only["note"] == "a slip"
    assert (await _done(owner, "GET", f"{path}?end=1800000000", status=200))["data"] == []
    await _done(owner, "GET", f"{path}?kind=gift", status=400)
    foreign = (await house.rows(select(ledger.c.billable_id).where(ledger.c.org_id == other)))[0][0]
    for query, param in (
        ("before=led_nothing", "before"),
        (f"before={foreign}", "before"),
        ("start=20&end=10", "end"),
        ("limit=2&limit=2", "limit"),
        ("start=1&start=2", "start"),
    ):
        refused = await _done(owner, "GET", f"{path}?{query}", status=400)
        assert refused["error"]["param"] == param


async def test_usage_is_shown_when_a_viewer_asks(house: House) -> None:
    """The figures of /v1/usage, for the organization in the path."""
    org = await house.organization()
    viewer = await house.member("viewer@example.org", org, role="viewer")
    entries = [Entry(number=n, at=house.clock.now() - n, org=org, model="m", cost=10**10) for n in range(3)]
    await house.db.write(partial(book, entries=entries))
    path = f"/organizations/{org}/usage"
    summary = await _done(viewer, "GET", f"{path}?range=7d", status=200)
    assert (summary["period_spend"], summary["range"], summary["object"]) == (3.0, "7d", "usage.summary")
    whole = await _done(viewer, "GET", f"{path}/breakdown", status=200)
    assert (whole["granularity"], [each["model"] for each in whole["models"]]) == ("day", ["m"])
    day = await _done(viewer, "GET", f"{path}/breakdown?range=day&date=2027-01-15", status=200)
    assert day["granularity"] == "hour"
    assert (await _done(viewer, "GET", f"{path}?range=1h", status=400))["error"]["param"] == "range"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/credits/topups", {"organization": "{org}", "amount": "5 EUR"}, "amount"),
        ("/credits/topups", {"organization": "{org}", "amount": 5}, "amount"),
        ("/credits/topups", {"organization": "{org}", "amount": "-5"}, "amount"),
        ("/credits/topups", {"organization": "{org}", "amount": "5", "reference": "a b"}, "reference"),
        ("/credits/corrections", {"organization": "{org}", "amount": "0", "note": "x"}, "amount"),
        ("/credits/corrections", {"organization": "{org}", "amount": "1"}, "note"),
        ("/promos", {"amount": "1", "code": "x"}, "code"),
        ("/promos", {"amount": "1", "expires_at": 5}, "expires_at"),
        ("/promos", {"amount": "1", "colour": "red"}, "colour"),
    ],
)
async def test_body_is_refused_when_no_money_can_move_so(
    house: House, path: str, body: dict[str, Any], param: str
) -> None:
    """The field is named, and nothing moved."""
    org = await house.organization()
    root = await house.person("root@example.org", operator=True)
    sent = {name: org if value == "{org}" else value for name, value in body.items()}
    answer = await _done(root, "POST", path, sent, status=400)
    assert answer["error"]["param"] == param
    seen = await _done(root, "GET", f"/organizations/{org}/credits", status=200)
    assert (seen["standing"]["balance"], seen["last"]) == ("0", [])


async def test_field_is_named_as_the_client_wrote_it_when_it_is_refused(house: House) -> None:
    """Not as the service that refuses it calls it."""
    org = await house.organization()
    root = await house.person("root@example.org", operator=True)
    boss = await house.member("admin@example.org", org, role="admin")
    own = f"/organizations/{org}"
    top_up = {"organization": org, "amount": "5", "reference": "pi_1"}
    paid = await _done(root, "POST", "/credits/topups", top_up)
    entry = paid["entry"]["id"]
    await _done(root, "POST", "/promos", {"amount": "5", "code": "WELCOME"})
    await _done(boss, "POST", f"{own}/promos/redeem", {"code": "WELCOME"})
    calls: list[tuple[Browser, str, str, dict[str, Any], int, str]] = [
        (root, "POST", "/promos", {"amount": "5", "expires_at": 1}, 400, "expires_at"),
        (root, "POST", "/promos", {"amount": "5", "code": "WELCOME"}, 409, "code"),
        (boss, "POST", f"{own}/keys", {"name": "app", "user": "nobody@example.org"}, 404, "user"),
        (boss, "PUT", f"{own}/budgets", {"cap": "1", "key": "key_none"}, 404, "key"),
        (root, "POST", "/credits/refunds", {"entry": "resp_none"}, 404, "entry"),
        (root, "POST", "/credits/refunds", {"entry": f"promo:WELCOME:{org}"}, 409, "entry"),
        (root, "POST", "/credits/refunds", {"entry": entry, "amount": "6"}, 409, "amount"),
        (root, "POST", "/credits/topups", top_up | {"amount": "6"}, 409, "reference"),
        (boss, "POST", f"{own}/promos/redeem", {"code": "NOTHING"}, 404, "code"),
        (boss, "POST", f"{own}/promos/redeem", {"code": "WELCOME"}, 409, "code"),
    ]
    for caller, method, path, body, status, param in calls:
        answer = await _done(caller, method, path, body, status=status)
        assert answer["error"]["param"] == param, (path, body)
