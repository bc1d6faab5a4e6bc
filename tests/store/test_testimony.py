"""`ledger verify --deep` on both databases: what stored answers say of their own usage is what was booked."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Executable, literal_column, update

from databases import Place, open_store
from ingot.dialects.messages_fold import assemble
from ingot.services.ledger import Ledger
from ingot.store.schema import ledger, responses, usage_hours
from treasury import Call, Treasury

TOLD = {"prompt_tokens": 50, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 5}}
SAID = [{"index": 0, "message": {"role": "assistant", "content": "ten words"}}]
TEN = {"input_tokens": 50, "cached_tokens": 5, "output_tokens": 10}


def answer(usage: Any = None, **more: Any) -> bytes:
    """A whole chat answer."""
    return json.dumps({"id": "c", "choices": SAID, "usage": usage, **more}).encode()


@dataclass(frozen=True, slots=True)
class Witness:
    """A call of 50 tokens in, 5 of them cached, and 10 out, whose answer may say anything."""

    treasury: Treasury
    call: Call

    async def says(self, content: bytes, **fields: Any) -> None:
        """Keeps this as the answer; `fields` are of the response."""
        await self.change(responses, answer=content, **fields)

    async def change(self, table: Any, **fields: Any) -> None:
        """Sets columns of the call's row."""
        column = table.c.id if table is responses else table.c.billable_id
        await self.treasury.tamper(update(table).where(column == self.call.id).values(fields))

    async def heard(self) -> tuple[int, int, list[str]]:
        """How many answers were read, how many told a usage, and what does not agree."""
        proof = await Ledger(self.treasury.db).verify(deep=True)
        assert proof.heard is not None
        assert {each.subject for each in proof.findings} <= {self.call.id}
        return proof.heard.answers, proof.heard.told, [each.detail for each in proof.findings]


@pytest.fixture
async def witness(backend: Place) -> AsyncIterator[Witness]:
    """The call, among others whose answers were not kept."""
    async with open_store(backend) as db:
        treasury = Treasury(db)
        await treasury.organization("org_a", prepaid=False)
        calls = [treasury.call(60, org_id="org_a") for _ in range(3)]
        await treasury.settle(*calls)
        changes: list[Executable] = [
            update(ledger).where(ledger.c.billable_id == calls[0].id).values(TEN),
            update(responses).where(responses.c.id == calls[0].id).values(TEN),
            update(usage_hours).values(
                input_tokens=usage_hours.c.input_tokens - 10, cached_tokens=5, output_tokens=10
            ),
        ]
        await treasury.tamper(*changes)
        yield Witness(treasury, calls[0])


def message(**usage: Any) -> bytes:
    """A whole answer of the messages surface."""
    said = [{"type": "text", "text": "ten words"}]
    return json.dumps({"id": "msg_1", "type": "message", "content": said, "usage": usage}).encode()


MESSAGE = {"input_tokens": 25, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 20}
EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"usage": {**MESSAGE, "output_tokens": 1}}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 10}},
    {"type": "message_stop"},
]
STREAMED = b"".join(
    b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode()) for event in EVENTS
)


@pytest.mark.parametrize("said", [message(**MESSAGE, output_tokens=10), assemble(STREAMED)])
async def test_message_is_heard_when_its_input_leaves_out_what_was_cached(
    witness: Witness, said: bytes
) -> None:
    """The booked input has both in it, what was read of a cache and what was written; of a stream the last counts."""
    await witness.says(said, surface="messages")
    assert await witness.heard() == (1, 1, [])


async def test_false_tokens_are_found_when_a_message_tells_others(witness: Witness) -> None:
    """Whichever kind differs, and a mark that is wrong."""
    for usage, told in (
        (MESSAGE | {"output_tokens": 9}, "says 50 (5) and 9 (0)"),
        (MESSAGE | {"cache_creation_input_tokens": 0, "output_tokens": 10}, "says 30 (5) and 10 (0)"),
    ):
        await witness.says(message(**usage), surface="messages")
        (detail,) = (await witness.heard())[2]
        assert detail.endswith(told)
    await witness.says(message(), surface="messages")
    (detail,) = (await witness.heard())[2]
    assert detail == "is not marked as estimated, and the stored answer tells no usage"
    await witness.change(ledger, estimated=1)
    await witness.says(message(**MESSAGE, output_tokens=10), surface="messages")
    assert (await witness.heard())[2] == ["is marked as estimated, but the stored answer tells its usage"]
    # A translated answer tells the estimate, where its target told nothing.
    await witness.change(responses, fidelity="translated")
    assert await witness.heard() == (1, 1, [])
    await witness.says(message(input_tokens=0, output_tokens=0), surface="messages")
    assert await witness.heard() == (1, 1, [])
    zeros = {"content": [], "usage": {"input_tokens": 0, "output_tokens": 0}}
    await witness.says(json.dumps(zeros).encode(), surface="messages")
    assert await witness.heard() == (1, 1, [])


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_answer_is_read_when_it_is_kept_as_text(witness: Witness) -> None:
    """SQLite takes a text in a column of bytes, and another program may have written one."""
    for output, wrong in ((10, 0), (11, 1)):
        said = answer({**TOLD, "completion_tokens": output}, name="caf\u00e9").decode()
        own = responses.c.id == witness.call.id
        text = update(responses).where(own).values(answer=literal_column(f"'{said}'"))
        await witness.treasury.execute(text)
        answers, told, details = await witness.heard()
        assert (answers, told, len(details)) == (1, 1, wrong)


async def test_nothing_is_read_when_it_is_not_deep(witness: Witness) -> None:
    """A wrong answer is not seen, and it is told that none was looked at."""
    await witness.says(answer({**TOLD, "completion_tokens": 11}))
    proof = await Ledger(witness.treasury.db).verify()
    assert (proof.holds, proof.heard) == (True, None)
    assert (await witness.heard())[0] == 1


@pytest.mark.parametrize(
    "said",
    [
        answer(TOLD),
        answer(None, x_groq={"usage": TOLD}),
        answer({**TOLD, "prompt_tokens": 1}, meta={"of_the_target": {"counts": TOLD}}),
    ],
    ids=["usual", "elsewhere", "two"],
)
async def test_all_is_well_when_the_answer_tells_what_was_booked(witness: Witness, said: bytes) -> None:
    """In the usual place, or in one that a target has for it."""
    await witness.says(said)
    assert await witness.heard() == (1, 1, [])


async def test_false_tokens_are_found(witness: Witness) -> None:
    """Whichever kind differs."""
    for usage, told in (
        ({**TOLD, "completion_tokens": 9}, "says 50 (5) and 9 (0)"),
        ({**TOLD, "prompt_tokens": 51}, "says 51 (5) and 10 (0)"),
        ({"prompt_tokens": 50, "completion_tokens": 10}, "says 50 (0) and 10 (0)"),
        ({**TOLD, "completion_tokens_details": {"reasoning_tokens": 3}}, "says 50 (5) and 10 (3)"),
    ):
        await witness.says(answer(usage))
        (detail,) = (await witness.heard())[2]
        assert detail.startswith("has 50 input (5 cached) and 10 output (0 reasoning) tokens")
        assert detail.endswith(told)


async def test_false_mark_is_found_when_the_answer_tells_its_usage(witness: Witness) -> None:
    """An estimate is one only where nothing was told; no output beside output is nothing told."""
    await witness.change(ledger, estimated=1)
    await witness.says(answer(TOLD))
    assert (await witness.heard())[2] == ["is marked as estimated, but the stored answer tells its usage"]
    await witness.says(answer({**TOLD, "completion_tokens": 0}))
    assert await witness.heard() == (1, 1, [])
    await witness.says(answer({**TOLD, "completion_tokens": 0}, choices=[]))
    assert (await witness.heard())[2] == ["is marked as estimated, but the stored answer tells its usage"]
    await witness.says(answer(None))
    assert await witness.heard() == (1, 0, [])


async def test_missing_mark_is_found_when_the_answer_tells_no_usage(witness: Witness) -> None:
    """A body that tells none was estimated; of a stream whose client did not ask, nothing can be said."""
    for usage in (None, {"prompt_tokens": -1}, {"prompt_tokens": "many"}):
        await witness.says(answer(usage))
        assert (await witness.heard())[2] == [
            "is not marked as estimated, and the stored answer tells no usage"
        ]
    await witness.says(answer(None), streamed=1)
    assert await witness.heard() == (1, 0, [])


@pytest.mark.parametrize("content", [b"data: {}\n\ndata: [DONE]\n\n", b"[]", b"", b"\xff"])
async def test_answer_is_mute_when_it_is_no_object(witness: Witness, content: bytes) -> None:
    """A stream that could not be folded is kept as its events."""
    await witness.says(content)
    assert await witness.heard() == (1, 0, [])


async def test_answer_is_not_heard_when_it_is_none_of_a_completed_call(witness: Witness) -> None:
    """Of broken and of deleted ones nothing whole is kept; other dialects are mute."""
    await witness.says(answer({"prompt_tokens": 1}), state="failed")
    assert await witness.heard() == (0, 0, [])
    await witness.says(answer({"input_tokens": 1}), state="completed", surface="other")
    assert await witness.heard() == (1, 0, [])


async def test_every_answer_is_read_when_they_do_not_fit_into_memory_together(witness: Witness) -> None:
    """Some megabytes at a time, also where one is larger than that."""
    for size in (5_000_000, 5_000_000, 9_000_000, 10):
        call = witness.treasury.call(60, org_id="org_a")
        await witness.treasury.settle(call)
        content = answer({"prompt_tokens": 60}, filler="y" * size)
        own = responses.c.id == call.id
        await witness.treasury.execute(update(responses).where(own).values(answer=content))
    await witness.says(answer(TOLD, filler="y" * 5_000_000))
    assert await witness.heard() == (5, 5, [])
