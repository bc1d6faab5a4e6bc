"""Valar's batches. Rows S4-150 to S4-153."""

import asyncio
from typing import Final

from ingot.conformance.examples import says
from ingot.conformance.record import Check, Failed, Row, row
from ingot.conformance.rows.reference import VALAR
from ingot.conformance.subject import PROMPT, Subject
from ingot.conformance.trying import PAUSES, equal, expect, ok, refused
from ingot.conformance.wire import Json

SURFACE: Final = "batches"
NEEDS: Final = (SURFACE,)
MOST: Final = 100_000


def entries(subject: Subject, count: int) -> list[Json]:
    """So many requests, each with a name of its own."""
    params = {"model": subject.model, "input": PROMPT}
    return [{"custom_id": f"r{number}", "params": params} for number in range(count)]


async def made(subject: Subject, count: int = 1) -> Json:
    """A batch of so many requests."""
    answer = await subject.ask({"requests": entries(subject, count)}, surface=SURFACE)
    expect(answer.status in {200, 201, 202}, f"a batch of {count:,} requests", answer)
    return answer.value


async def responses_only(subject: Subject) -> None:
    """Other targets are refused."""
    await made(subject)
    chat = {"custom_id": "one", "params": {"model": subject.model, "messages": says(PROMPT)}}
    fields = {"endpoint": "/v1/chat/completions", "requests": [chat]}
    refused(await subject.ask(fields, surface=SURFACE), "another endpoint", param="endpoint")


async def size(subject: Subject) -> None:
    """One more than the most is refused; so many are not made here, as each would be answered and paid."""
    await made(subject)
    answer = await subject.ask({"requests": entries(subject, MOST + 1)}, surface=SURFACE)
    expect(answer.status in {400, 413}, f"a refusal of {MOST + 1:,} requests", answer)
    refused(await subject.ask({"requests": []}, surface=SURFACE), "no requests", param="requests")


async def polled(subject: Subject) -> None:
    """Its status can be asked."""
    batch = await made(subject)
    found = ok(await subject.call("GET", f"/batches/{batch.get('id')}"), "GET /batches/{id}")
    equal("id", batch.get("id"), found.get("id"))


async def result(subject: Subject) -> None:
    """One by one, by the name that the request gave."""
    path = f"/batches/{(await made(subject)).get('id')}/r0"
    answer = await subject.call("GET", path)
    for pause in PAUSES:
        if answer.status == 200 and answer.value.get("status", "completed") == "completed":
            equal("object", "response", answer.value.get("object"))
            return
        await asyncio.sleep(pause)
        answer = await subject.call("GET", path)
    raise Failed("a result within a minute", str(answer))


def own(row_id: str, says: str, check: Check) -> Row:
    """A row of this surface."""
    return row(row_id, VALAR, says, check, needs=NEEDS)


ROWS: Final[tuple[Row, ...]] = (
    own("S4-150", "A batch holds requests to /v1/responses and to nothing else.", responses_only),
    own("S4-151", "A batch has at most 100,000 requests.", size),
    own("S4-152", "The status of a batch can be asked.", polled),
    own("S4-153", "Results are fetched one by one, by custom_id.", result),
)
