"""What clients do with batches, on both databases: made whole or not at all, read, paged, cancelled, deleted."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from batchqueue import FAILED, left_of, look, make, states
from databases import Place
from filinghouse import URL, WHO, Desk, opened
from ingot.dialects.batches import CreateBatch
from ingot.errors import ApiError, Conflict, InvalidRequest, NotFound, QuotaExceeded
from ingot.services.batches.desk import PLAIN, Batches
from ingot.store import batches as store
from ingot.store.blobs import Draft
from ingot.store.schema import batches as table
from ingot.store.schema import jobs, micros, responses
from queuehouse import take


@pytest.fixture
async def desk(backend: Place) -> AsyncIterator[Desk]:
    """A process that works on nothing by itself."""
    async with opened(backend) as found:
        yield found


def params(**more: Any) -> dict[str, Any]:
    """A chat request."""
    return {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]} | more


async def spool(desk: Desk, requests: list[Any]) -> Draft:
    """A body on disk, as it came."""
    draft = await desk.files.begin()
    draft.write(json.dumps({"requests": requests}).encode())
    return draft


async def create(desk: Desk, requests: list[Any], **fields: Any) -> dict[str, Any]:
    """A batch with its requests in the body."""
    draft = await spool(desk, requests)
    try:
        wanted = CreateBatch(endpoint=URL, **fields)
        return dict(json.loads(await desk.batches.making.create(WHO, draft, wanted, headers={})))
    finally:
        draft.discard()


def some(count: int) -> list[Any]:
    """So many good requests."""
    return [{"custom_id": f"n{number}", "params": params()} for number in range(count)]


async def everything(desk: Desk) -> list[int]:
    """How many batches, jobs, and lines of any batch there are, and what is held."""
    ids = await desk.house.rows(table.c.id)
    return [
        len(ids),
        len(await desk.house.rows(jobs.c.id)),
        sum([(await left_of(desk.house, which))[1] for which in ids]),
        await desk.house.held(),
    ]


# ---- made


async def test_batch_is_there_with_its_jobs_when_it_was_made(desk: Desk) -> None:
    """Its answer is what reading it says; each request waits, and the most of all of them is held."""
    made = await create(desk, some(7), label="mine", metadata={"k": "v"})
    assert made == json.loads(await desk.batches.read("org_a", made["id"]))
    assert (made["status"], made["label"], made["model"]) == ("in_progress", "mine", "m")
    assert made["request_counts"]["pending"] == 7
    assert (await everything(desk))[:3] == [1, 3, 7]
    assert made["expires_at"] - made["created_at"] == 86_400


@pytest.mark.parametrize(
    ("requests", "param"),
    [
        ([], "requests"),
        ([*some(3), {"custom_id": "n0", "params": params()}], "requests[3].custom_id"),
        ([*some(9), {"custom_id": "x", "params": params(model="nobody")}], "requests[9].params.model"),
        (some(51), "requests"),
        (
            [
                *some(2),
                {"custom_id": "x", "params": params(messages=[{"role": "user", "content": "x" * 3000}])},
            ],
            "requests",
        ),
    ],
    ids=["none", "a name twice", "a model", "too many", "too large"],
)
async def test_b02_no_row_is_left_when_a_batch_is_refused(
    desk: Desk, requests: list[Any], param: str
) -> None:
    """Whatever was written down before the fault came."""
    with pytest.raises(ApiError) as caught:
        await create(desk, requests)
    assert caught.value.param == param
    assert await everything(desk) == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"completion_window": "asap"}, "completion_window"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"metadata": {"completion_window": "priority"}}, "metadata.completion_window"),
    ],
)
async def test_window_of_a_batch_is_refused_when_it_takes_none(
    desk: Desk, fields: dict[str, Any], param: str
) -> None:
    """Those that do are told."""
    with pytest.raises(
        InvalidRequest, match=r"expected '24h', or a window that takes batches \(standard, flex\)"
    ) as caught:
        await create(desk, some(1), **fields)
    assert caught.value.param == param
    assert await everything(desk) == [0, 0, 0, 0]


async def test_windows_of_a_batch_are_refused_when_they_disagree(desk: Desk) -> None:
    """As those of a request are; the same twice, and a day beside one, say no two things."""
    with pytest.raises(InvalidRequest, match="Send one of them, or the same in both") as caught:
        await create(desk, some(1), completion_window="flex", metadata={"completion_window": "standard"})
    assert caught.value.param == "metadata.completion_window"
    assert await everything(desk) == [0, 0, 0, 0]
    for window in ("flex", "24h"):
        await create(desk, some(1), completion_window=window, metadata={"completion_window": "flex"})


async def test_batch_is_made_whole_or_not_at_all_when_its_client_leaves(desk: Desk) -> None:
    """B10: at whatever moment that is, the last write on its way to the disk included."""
    draft, wanted = await spool(desk, some(4)), CreateBatch(endpoint=URL)
    seen = set()
    for turns in range(0, 100, 4):
        before = await everything(desk)
        task = asyncio.create_task(desk.batches.making.create(WHO, draft, wanted, headers={}))
        for _ in range(turns):
            await asyncio.sleep(0)
        while turns % 8 and not task.done() and (await everything(desk))[2] == before[2]:
            pass  # as late as can be: its lines are there, and only the last write is to come
        task.cancel()
        await asyncio.wait([task])
        after = await everything(desk)
        added = [new - old for new, old in zip(after, before, strict=True)]
        assert added[:3] in ([0, 0, 0], [1, 2, 4])
        assert (added[3] > 0) is (added[0] == 1)
        seen.add(added[0])
    draft.discard()
    assert 0 in seen


async def test_b10_batch_that_was_made_to_wait_stays_when_its_client_leaves_at_that_moment(
    desk: Desk,
) -> None:
    """The write that shows it is on its way when the client goes: what is undone is only what nobody saw."""
    left: list[asyncio.Task[Any]] = []

    def leave(_: object, __: bytes) -> None:
        """Called within that write, on the thread of the store."""
        loop.call_soon_threadsafe(left[0].cancel)

    loop = asyncio.get_running_loop()
    draft, wanted = await spool(desk, some(4)), CreateBatch(endpoint=URL)
    making = desk.batches.making.create(WHO, draft, wanted, headers={}, keep=leave)
    left.append(asyncio.create_task(making))
    await asyncio.wait(left)
    draft.discard()
    assert (await everything(desk))[:3] == [1, 2, 4]
    [which] = await desk.house.rows(table.c.id)
    await desk.answer(which)
    row = await look(desk.house, which)
    assert (row.state, row.completed, await desk.house.held()) == ("completed", 4, 0)


async def test_nothing_is_there_when_the_money_is_too_little(desk: Desk) -> None:
    """And what was written down is gone."""
    balance = int((await desk.house.treasury.figures("org_a"))[0])
    await desk.house.treasury.credits.correct("org_a", -balance, actor="test", note="none")
    with pytest.raises(QuotaExceeded):
        await create(desk, some(4))
    assert await everything(desk) == [0, 0, 0, 0]


# ---- read


async def test_another_organization_is_told_that_there_is_no_such_batch(desk: Desk) -> None:
    """By every way, in the same words as for one that never was."""
    row = await make(desk.house)
    await desk.answer(row.id)
    ways: list[Callable[[str, str], Awaitable[object]]] = [
        desk.batches.read,
        desk.batches.cancel,
        desk.batches.delete,
        desk.batches.every_line,
        partial(desk.batches.result, custom_id="n0"),
        partial(desk.batches.page, after=None, limit=9),
    ]
    for way in ways:
        for org_id, which in (("org_b", row.id), ("org_a", "batch_none")):
            with pytest.raises(NotFound) as caught:
                await way(org_id, which)
            assert caught.value.message == f"No batch has the id '{which}'."
    assert json.loads(await desk.batches.list("org_b", after=None, before=None, limit=9))["data"] == []
    with pytest.raises(InvalidRequest) as refused:
        await desk.batches.list("org_b", after=row.id, before=None, limit=9)
    assert refused.value.param == "after"


async def test_lists_are_pages_of_the_newest_first_both_ways(desk: Desk) -> None:
    """Behind a mark the older ones, before it those that are newer, nearest to it; in both forms."""
    ids = []
    for _ in range(5):
        ids.append((await make(desk.house, sizes=(1,))).id)
        desk.clock.advance(1)
    newest = ids[::-1]

    async def page(**how: Any) -> tuple[list[str], bool]:
        told = json.loads(
            await desk.batches.list("org_a", **({"after": None, "before": None, "limit": 2} | how))
        )
        return [each["id"] for each in told["data"]], told["has_more"]

    assert await page() == (newest[:2], True)
    assert await page(after=newest[1]) == (newest[2:4], True)
    assert await page(after=newest[3]) == (newest[4:], False)
    assert await page(before=newest[3]) == (newest[1:3], True)
    assert await page(before=newest[1]) == (newest[:1], False)
    plain = Batches(
        desk.runtime, desk.house.db, files=desk.files, dialects=desk.batches.dialects, wording=PLAIN
    )
    told = json.loads(await plain.list("org_a", after=None, before=None, limit=9))
    assert [each["id"] for each in told] == newest
    for asked, after, before, param in (
        (desk.batches, "nope", None, "after"),
        (plain, "nope", None, "after_id"),
        (plain, None, "nope", "before_id"),
    ):
        with pytest.raises(InvalidRequest, match=f"'{param}' names nothing") as caught:
            await asked.list("org_a", after=after, before=before, limit=2)
        assert caught.value.param == param
    assert json.loads(await plain.read("org_a", ids[0]))["request_status"] == {"n0": {"status": "pending"}}


async def test_results_are_read_while_a_batch_runs(desk: Desk) -> None:
    """By name at any time, as lines behind the one with a name; a name that is none is refused."""
    row = await make(desk.house, sizes=(3,))
    worker = desk.house.process()
    [job] = await take(worker, 9)
    items = await worker.items(job)
    kept = {"expires_at": 9 * 10**15}
    await desk.house.settle(job, items[0], answer=b'{"object":"chat.completion","choices":[]}', **kept)
    await desk.house.settle(job, items[2], **FAILED, answer=b'{"error":{"code":"bad"}}', **kept)
    said = {}
    for name in ("n0", "n1", "n2"):
        said[name] = json.loads(await desk.batches.result("org_a", row.id, name))
    assert [said[name]["status"] for name in said] == ["completed", "in_progress", "failed"]
    assert said["n2"]["error"] == {"code": "bad"}
    with pytest.raises(NotFound, match="no request with the custom_id 'n3'"):
        await desk.batches.result("org_a", row.id, "n3")
    body = await desk.batches.page("org_a", row.id, after=None, limit=9)
    assert [json.loads(each)["custom_id"] for each in body.splitlines()] == ["n0", "n2"]
    body = await desk.batches.page("org_a", row.id, after="n0", limit=9)
    assert [json.loads(each)["response"]["status_code"] for each in body.splitlines()] == [500]
    with pytest.raises(InvalidRequest, match="'after' is 'x'") as caught:
        await desk.batches.page("org_a", row.id, after="x", limit=9)
    assert caught.value.param == "after"
    with pytest.raises(Conflict) as early:
        await desk.batches.every_line("org_a", row.id)
    assert early.value.code == "batch_not_ended"


async def test_results_are_gone_when_they_are_archived(desk: Desk) -> None:
    """B08: 410, and the batch is still told."""
    row = await make(desk.house, sizes=(1,))
    await desk.answer(row.id)
    archive = partial(store.archive, batch_id=row.id, at=micros(desk.clock.now()))
    await desk.house.db.write(archive)
    for way in (
        desk.batches.result("org_a", row.id, "n0"),
        desk.batches.page("org_a", row.id, after=None, limit=1),
        desk.batches.every_line("org_a", row.id),
    ):
        with pytest.raises(ApiError) as caught:
            await way
        assert (caught.value.status, caught.value.code) == (410, "results_expired")
    assert json.loads(await desk.batches.read("org_a", row.id))["status"] == "completed"


# ---- ended


async def test_b05_cancel_is_no_error_a_second_time_and_one_when_it_ended_by_itself(desk: Desk) -> None:
    """A batch that was cancelled says so again; one that completed cannot be cancelled any more."""
    row = await make(desk.house, sizes=(2, 2))
    told = json.loads(await desk.batches.cancel("org_a", row.id))
    assert (told["status"], told["request_counts"]["cancelled"]) == ("cancelled", 4)
    assert json.loads(await desk.batches.cancel("org_a", row.id)) == told
    done = await make(desk.house, sizes=(1,))
    await desk.answer(done.id)
    with pytest.raises(Conflict, match="its state is 'completed'") as caught:
        await desk.batches.cancel("org_a", done.id)
    assert caught.value.code == "batch_ended"
    assert dict(caught.value.headers or ())["x-should-retry"] == "false"


async def test_answers_go_when_a_batch_is_deleted(desk: Desk) -> None:
    """Of one that has ended alone; what was billed stays."""
    row = await make(desk.house, sizes=(3,), most=9)
    with pytest.raises(Conflict):
        await desk.batches.delete("org_a", row.id)
    assert await states(desk.house, row.id) == {"pending": 3}
    await desk.answer(row.id)
    kept = (responses.c.org_id == "org_a", responses.c.answer.is_not(None))
    assert len(await desk.house.rows(responses.c.id, *kept)) == 3
    billed = await desk.house.treasury.figures("org_a")
    await desk.batches.delete("org_a", row.id)
    assert await desk.house.rows(responses.c.id, *kept) == []
    assert (await states(desk.house, row.id), await desk.house.treasury.figures("org_a")) == ({}, billed)
    with pytest.raises(NotFound):
        await desk.batches.read("org_a", row.id)
    assert json.loads(await desk.batches.list("org_a", after=None, before=None, limit=9))["data"] == []
