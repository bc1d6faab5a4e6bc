"""`ledger verify` on both databases: it finds every kind of harm, names it, and finds nothing where nothing is wrong."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from sqlalchemy import Executable, delete, insert, select, update

from databases import Place, open_store
from ingot.services.budgets import Budgets
from ingot.services.changes import Changes, Scope, Told, Wish
from ingot.services.idempotency import Retries
from ingot.services.keeping import Keep
from ingot.services.ledger import Ledger
from ingot.services.promos import Promos
from ingot.store.budgets import HOUR
from ingot.store.ledger import Span
from ingot.store.schema import (
    balances,
    budget_spend,
    budgets,
    holds,
    idempotency,
    ledger,
    promo_codes,
    promo_uses,
    response_metadata,
    responses,
    usage_hours,
)
from retryhouse import SIGNER
from treasury import Call, Treasury


@dataclass(frozen=True, slots=True)
class Books:
    """A database on which much has happened, and all of it adds up."""

    treasury: Treasury
    call: Call
    numbered: bool  # the database gives row numbers without gaps

    async def harm(self, *statements: Executable) -> dict[str, list[tuple[str, str]]]:
        """What is found after these statements, by check."""
        await self.treasury.tamper(*statements)
        found: dict[str, list[tuple[str, str]]] = {}
        for each in (await Ledger(self.treasury.db).verify()).findings:
            found.setdefault(each.check, []).append((each.subject, each.detail))
        return found

    async def forget(self) -> str:
        """Takes a call out of everything that money is in: response, row, balance, hour, budget; its id."""
        query = select(ledger.c.billable_id, ledger.c.at).where(
            ledger.c.org_id == "org_b", ledger.c.kind == "inference"
        )
        taken, at = await self.treasury.db.read(lambda conn: conn.execute(query).first()) or ("", 0)
        hour = usage_hours.c
        less = {name: hour[name] - n for name, n in (("requests", 1), ("input_tokens", 7), ("amount", 7))}
        await self.treasury.tamper(
            delete(responses).where(responses.c.id == taken),
            delete(ledger).where(ledger.c.billable_id == taken),
            update(balances).where(balances.c.org_id == "org_b").values(balance=balances.c.balance + 7),
            update(usage_hours).where(hour.org_id == "org_b", hour.hour == at // HOUR).values(less),
            update(budget_spend).values(spent=budget_spend.c.spent - 7),
        )
        return taken


@pytest.fixture
async def books(backend: Place) -> AsyncIterator[Books]:
    """A prepaid organization and one that owes, with calls, a budget, a promo code, refunds and running calls."""
    async with open_store(backend) as db:
        treasury = Treasury(db)
        org = await treasury.organization("org_a", amount=1_000)
        post = await treasury.organization("org_b", prepaid=False)
        promos = Promos(db, clock=treasury.clock)
        await promos.create(50, actor="cli", code="PROMO")
        await promos.redeem(org, "PROMO", actor="cli")
        purse = treasury.purse("p")
        hold = await purse.reserve(org, 100)
        call = treasury.call(60, hold=hold)
        await treasury.settle(call)
        purse.release(hold, 60)
        await Budgets(db, clock=treasury.clock).set(post, 10_000, period="month", actor="cli")
        for _ in range(3):
            await treasury.settle(*(treasury.call(7, org_id=post) for _ in range(3)))
            treasury.advance(3600)
        await treasury.credits.refund(call.id, 10, actor="cli")
        await treasury.credits.correct(post, -3, actor="cli", note="why not")
        await purse.reserve(org, 100)
        yield Books(treasury, call, not backend.postgres)


async def test_verify_when_all_is_well(books: Books) -> None:
    """Nothing is found, and it says how much was compared."""
    proof = await Ledger(books.treasury.db).verify()
    assert proof.holds
    assert proof.counted["responses"] == 10
    assert proof.counted["ledger"] == 14


async def test_verify_when_a_response_was_deleted(books: Books) -> None:
    """A response may go; what it cost stays."""
    assert await books.harm(delete(responses).where(responses.c.id == books.call.id)) == {}


async def test_verify_when_a_row_is_missing(books: Books) -> None:
    """An answered call without its row is named, and so are the sums that miss it."""
    found = await books.harm(delete(ledger).where(ledger.c.billable_id == books.call.id))
    assert found["answers"] == [(books.call.id, "is completed, at 0.00000000006 USD, and has no ledger row")]
    assert set(found) - {"numbers"} == {"answers", "sums", "usage", "references"}
    assert found.get("numbers") == ([("3", "1 rows are missing before row 4")] if books.numbered else None)


@pytest.mark.parametrize("state", ["failed", "deleted"])
async def test_verify_when_a_call_was_never_charged(books: Books, state: str) -> None:
    """Output that was given, and a completed answer that its client deleted, have their row, also where all is free."""
    row = dict.fromkeys(("id", "public_id", "org_id", "key_id", "surface", "model", "target"), "x")
    row |= {"id": "resp_free", "fidelity": "verbatim", "window": "asap", "request_id": "r"}
    numbers = {"status": 200, "created_at": 1, "finished_at": 1, "output_tokens": int(state == "failed")}
    found = await books.harm(insert(responses).values(row | numbers | {"state": state}))
    assert found == {"answers": [("resp_free", f"is {state}, at 0 USD, and has no ledger row")]}


async def test_verify_when_a_call_was_taken_out_of_all_sums(books: Books) -> None:
    """Only its number is missing, where the database numbers rows without gaps; and what was kept beside it tells."""
    taken = await books.forget()
    found = await books.harm()
    assert set(found) == ({"numbers"} if books.numbered else set())
    label = {"org_id": "org_b", "name": "n", "value": "v", "response_id": taken}
    key: dict[str, object] = {
        "org_id": "org_b",
        "key_id": "k",
        "key": "1",
        "response_id": taken,
        "fingerprint": b"f",
        "path": "p",
    }
    key.update(state="done", owner="o", lease_until=0, created_at=0, status=200)
    other = {"name": "m", "response_id": "resp_none"}
    found = await books.harm(
        insert(response_metadata).values(label),
        insert(response_metadata).values(label | other),
        insert(idempotency).values(key),
        insert(idempotency).values(key | {"key": "2", "response_id": "resp_runs", "state": "running"}),
        insert(idempotency).values(key | {"key": "3", "response_id": books.call.id}),
    )
    assert [subject for subject, _ in found["traces"]] == [*sorted([taken, "resp_none"]), taken]
    assert "kept for retries" in found["traces"][2][1]


async def test_verify_when_a_change_is_kept_for_retries(books: Books) -> None:
    """A top-up with an idempotency key keeps its answer too, and is no inference: it misses no response."""
    treasury = books.treasury
    changes = Changes(
        treasury.db,
        Retries(treasury.db, clock=treasury.clock, log=treasury.log),
        digest=SIGNER.digest,
        clock=treasury.clock,
    )

    async def top_up(keep: Keep[Told]) -> Told:
        told = Told(201, b"{}")
        await treasury.credits.top_up("org_a", 5, actor="cli", keep=lambda conn, _: keep(conn, told))
        return told

    wish = Wish(Scope("org_a", "key_1"), "once", "POST", "/admin/v1/topups", {"amount": "5"})
    assert (await changes.make(wish, top_up)).status == 201
    kept = select(idempotency.c.state)
    assert await treasury.db.read(lambda conn: conn.execute(kept).scalars().all()) == ["done"]
    assert (await Ledger(treasury.db).verify()).holds


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("amount", -61, "costs 0.000000000061 USD, but 0.00000000006 USD by its own price"),
        ("amount", 60, "gives 0.00000000006 USD instead of costing"),
        ("price", "{}", "its price cannot be read"),
        (
            "price",
            '{"input":2,"output":1}',
            "costs 0.00000000006 USD, but 0.00000000012 USD by its own price",
        ),
        ("org_id", "org_b", "org_id is org_b, but the stored response says org_a"),
        ("key_id", "key_x", "key_id is key_x, but the stored response says key_a"),
        ("model", None, "model is None, but the stored response says mock"),
    ],
)
async def test_verify_when_a_row_was_changed(books: Books, column: str, value: object, told: str) -> None:
    """Every figure of a call's row is held against its own price and the stored response."""
    changed = update(ledger).where(ledger.c.billable_id == books.call.id).values({column: value})
    (finding,) = (await books.harm(changed))["calls"]
    assert finding[0] == books.call.id
    assert told in finding[1]


async def test_verify_when_a_response_was_changed(books: Books) -> None:
    """What the stored response says it cost is what its row says."""
    changed = update(responses).where(responses.c.id == books.call.id).values(amount=61)
    (finding,) = (await books.harm(changed))["calls"]
    assert "but the stored response says 0.000000000061 USD" in finding[1]


async def test_verify_when_a_balance_is_off(books: Books) -> None:
    """A balance that is not the sum of its rows, and holds that are not the sum of leases."""
    found = await books.harm(
        update(balances).where(balances.c.org_id == "org_b").values(balance=-67),
        delete(holds).where(holds.c.org_id == "org_a"),
    )
    assert {subject for subject, _ in found["sums"]} == {"org_a", "org_b"}
    assert set(found) == {"sums"}


async def test_verify_when_a_balance_is_no_amount(books: Books) -> None:
    """Rows that add up to more than 64 bits hold are summed, and a balance that became a fraction is named with its rows."""
    paid = {"org_id": "org_b", "kind": "topup", "amount": 10**18, "at": books.treasury.now}
    rows = [insert(ledger).values(paid | {"billable_id": f"topup:{number}"}) for number in range(12)]
    broken = [update(balances).values(balance=1.2e19)] if books.numbered else []
    found = await books.harm(*rows, *broken)
    assert "org_b" in {subject for subject, _ in found["sums"]}
    assert any("its rows add up to 1199999" in detail for _, detail in found["sums"])
    if broken:
        assert any("its balance is 1.2e+19, which is no amount" in detail for _, detail in found["sums"])


async def test_verify_when_more_is_held_than_there_is(books: Books) -> None:
    """A prepaid balance covers what is held of it."""
    found = await books.harm(
        update(balances).where(balances.c.org_id == "org_a").values(held=5_000),
        update(holds).where(holds.c.org_id == "org_a").values(amount=5_000),
    )
    assert found == {"sums": [("org_a", "0.000000005 USD are held of a balance of 0.000000001 USD")]}


async def test_verify_when_a_budget_is_off(books: Books) -> None:
    """What a budget counted is what its calls cost, and their number is known to the balance."""
    found = await books.harm(update(budget_spend).values(spent=62, held=1))
    assert len(found["caps"]) == 2
    found = await books.harm(
        update(budget_spend).values(spent=63, held=0), update(balances).values(budgets=2)
    )
    assert {subject for subject, _ in found["caps"]} == {"org_a", "org_b", "org_default"}
    found = await books.harm(update(balances).values(budgets=0), update(budgets).values(ended_at=1))
    assert found == {}


async def test_verify_when_an_hour_is_off(books: Books) -> None:
    """The hourly sums can be derived from the rows: one that is wrong and one too many are both named."""
    hour = {"org_id": "org_z", "hour": 1, "key_id": "k", "model": "m", "window": "asap", "requests": 1}
    found = await books.harm(
        update(usage_hours).where(usage_hours.c.org_id == "org_a").values(requests=2),
        insert(usage_hours).values(hour),
    )
    assert set(found) == {"usage"}
    assert len(found["usage"]) == 3


async def test_verify_when_references_are_wrong(books: Books) -> None:
    """Refunds beyond what was paid, and uses of promo codes that nobody has a row for."""
    found = await books.harm(
        update(ledger).where(ledger.c.kind == "refund").values(amount=61),
        update(balances).where(balances.c.org_id == "org_a").values(balance=1_051),
        update(promo_codes).values(uses=2),
    )
    assert {subject for subject, _ in found["references"]} == {books.call.id, "PROMO"}
    found = await books.harm(insert(promo_uses).values(code="PROMO", org_id="org_b", at=1))
    assert ("PROMO", "was used by org_b, which has no ledger row of it") in found["references"]


async def test_verify_when_there_is_very_much_wrong(books: Books) -> None:
    """All is counted and the first are shown."""
    await books.harm(delete(ledger).where(ledger.c.kind == "inference"))
    proof = await Ledger(books.treasury.db).verify(most=3)
    assert len(proof.findings) == 3
    assert proof.wrong["answers"] == 10


async def test_export_when_written_out(books: Books) -> None:
    """Every row comes once, the oldest first, in both forms, with its price and exact amounts."""
    ledger_service = Ledger(books.treasury.db)
    lines = "".join([piece async for piece in ledger_service.export(Span(), "jsonl")]).splitlines()
    table = "".join(
        [piece async for piece in ledger_service.export(Span(org_id="org_a"), "csv")]
    ).splitlines()
    assert len(lines) == 14
    assert '"amount":"-0.00000000006"' in lines[2]
    assert '"price":"{\\"input\\":1,\\"output\\":1}"' in lines[2]
    assert table[0].startswith("id,organization,kind,amount,at,key_id")
    assert len(table) == 5
    start = books.treasury.now - 3_600 * 10**6
    late = "".join([piece async for piece in ledger_service.export(Span(start=start + 1), "jsonl")])
    assert late.count("\n") == 2
