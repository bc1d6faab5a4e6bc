"""Stored responses and the chains of them, on both databases."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from databases import Place
from ingot.errors import ApiError, InvalidRequest, NotFound, TooLarge
from ingot.services.paging import Paging
from responsehouse import IDS, ORG, OTHER, Scene, open_scene


@pytest.fixture
async def scene(backend: Place) -> AsyncIterator[Scene]:
    """An empty store of two organizations."""
    async with open_scene(backend) as opened:
        yield opened


async def test_chain_comes_before_when_a_response_is_named(scene: Scene) -> None:
    """Oldest first, what was asked before what was answered."""
    await scene.store(IDS[0], "one")
    await scene.store(IDS[1], "two", previous=IDS[0])
    items = await scene.before(input="say three", previous_response_id=IDS[1])
    assert [item["role"] for item in items] == ["user", "assistant", "user", "assistant", "user"]
    said = [item["content"] if item["role"] == "user" else item["content"][0]["text"] for item in items]
    assert said == ["say one", "one", "say two", "two", "say three"]


async def test_chain_is_refused_when_it_is_too_long_and_read_where_bytes_alone_bound_it(scene: Scene) -> None:
    """The refusal says where longer ones are read, and there they are."""
    await scene.store(IDS[0], "one")
    await scene.store(IDS[1], "two", previous=IDS[0])
    with pytest.raises(TooLarge, match="/v1/responses/compact") as refused:
        await scene.before(input="more", previous_response_id=IDS[1], links=1)
    assert refused.value.param == "previous_response_id"
    assert len(await scene.before(input="more", previous_response_id=IDS[1], links=None)) == 5
    with pytest.raises(TooLarge, match="too large"):
        await scene.before(input="more", previous_response_id=IDS[1], links=None, most=100)


async def test_response_is_found_when_it_is_not_written_yet(scene: Scene) -> None:
    """Where answers are given before they are durable, the next request waits for the one before it."""
    told = scene.recorder.record(scene.settlement(IDS[0], "one"))
    assert len(await scene.before(input="more", previous_response_id=IDS[0])) == 3
    assert told.done()


@pytest.mark.parametrize("how", ["unknown", "foreign", "expired", "unkept", "deleted", "other surface"])
async def test_response_cannot_be_told_from_none_when_it_may_not_be_read(scene: Scene, how: str) -> None:
    """Nothing is said of why; neither reading nor going on from it works."""
    changes: dict[str, dict[str, Any]] = {
        "foreign": {"org_id": OTHER},
        "expired": {"expires_at": 1},
        "unkept": {"request": None, "answer": None, "expires_at": None},
        "other surface": {"surface": "compact"},
    }
    fields = changes.get(how, {})
    if how != "unknown":
        await scene.store(IDS[0], "one", **fields)
    if how == "deleted":
        await scene.kept.delete(ORG, IDS[0])
    with pytest.raises(InvalidRequest) as refused:
        await scene.before(input="more", previous_response_id=IDS[0])
    assert (refused.value.code, refused.value.param) == (
        "previous_response_not_found",
        "previous_response_id",
    )
    with pytest.raises(NotFound) as missing:
        await scene.kept.read(ORG, IDS[0])
    # Only its own organization learns that there was one, and that nothing of it was kept.
    assert (missing.value.code == "content_not_kept") == (how == "unkept")


async def test_chain_breaks_when_a_link_is_deleted(scene: Scene) -> None:
    """What is deleted is in no later request, and the error names the link."""
    await scene.store(IDS[0], "one")
    await scene.store(IDS[1], "two", previous=IDS[0])
    await scene.kept.delete(ORG, IDS[0])
    with pytest.raises(InvalidRequest, match=IDS[0]):
        await scene.before(input="more", previous_response_id=IDS[1])
    assert json.loads(await scene.kept.read(ORG, IDS[1]))["id"] == IDS[1]


async def test_chain_is_refused_when_it_is_too_long(scene: Scene) -> None:
    """By its bytes; nothing is read beyond them."""
    await scene.store(IDS[0], "x" * 3_000)
    await scene.store(IDS[1], "two", previous=IDS[0])
    with pytest.raises(TooLarge) as refused:
        await scene.before(most=2_000, input="more", previous_response_id=IDS[1])
    assert refused.value.param == "previous_response_id"
    assert len(await scene.before(input="more", previous_response_id=IDS[1])) == 5


async def test_chain_is_the_same_when_it_is_large(scene: Scene) -> None:
    """Beside the event loop as on it."""
    await scene.store(IDS[0], "x" * 300_000)
    items = await scene.before(input="more", previous_response_id=IDS[0])
    assert [len(json.dumps(item)) > 300_000 for item in items] == [True, True, False]


async def test_response_is_not_gone_on_from_when_it_failed(scene: Scene) -> None:
    """It can be read, and says why."""
    answer = json.dumps({"id": IDS[0], "status": "failed", "output": []}).encode()
    await scene.store(IDS[0], "one", state="failed", answer=answer)
    with pytest.raises(InvalidRequest, match="'failed'"):
        await scene.before(input="more", previous_response_id=IDS[0])
    assert json.loads(await scene.kept.read(ORG, IDS[0]))["status"] == "failed"


async def test_stream_is_kept_as_a_whole_response_when_it_was_streamed(scene: Scene) -> None:
    """As its end tells it; one that broke off as far as it came."""
    whole = {"id": IDS[0], "object": "response", "status": "completed", "output": []}
    begun = {**whole, "id": IDS[1], "status": "in_progress"}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    at = {"output_index": 0, "content_index": 0, "item_id": "msg_1"}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.output_text.delta", **at, "delta": "so "},
        {"type": "response.output_text.delta", **at, "delta": "far"},
    ]

    def stream(*told: dict[str, Any]) -> bytes:
        return b"".join([b"data: " + json.dumps(each).encode() + b"\n\n" for each in told])

    end = {"type": "response.completed", "response": whole}
    await scene.store(IDS[0], "one", streamed=True, answer=stream(*events, end))
    await scene.store(IDS[1], "two", streamed=True, state="cancelled", answer=stream(*events))
    assert json.loads(await scene.kept.read(ORG, IDS[0])) == whole
    cut = json.loads(await scene.kept.read(ORG, IDS[1]))
    assert (cut["status"], cut["output"][0]["status"]) == ("incomplete", "incomplete")
    assert cut["output"][0]["content"][0]["text"] == "so far"


async def test_items_are_paged_when_there_are_many(scene: Scene) -> None:
    """Each has its own id, made from its response's; pages follow each other in both orders."""
    await scene.store(IDS[0], "one")
    await scene.store(IDS[1], "two", previous=IDS[0])
    found: list[str] = []
    after: str | None = None
    for more in (True, True, False):
        paging = Paging(after=after, limit=1, descending=True)
        page = json.loads(await scene.kept.input_items(ORG, IDS[1], paging=paging))
        assert page["has_more"] is more
        found += [item["id"] for item in page["data"]]
        after = page["last_id"]
    assert found == [f"msg_{IDS[1][5:]}i0000", f"msg_{IDS[0][5:]}0000", f"msg_{IDS[0][5:]}i0000"]
    with pytest.raises(InvalidRequest) as refused:
        await scene.kept.input_items(ORG, IDS[1], paging=Paging(after="msg_none"))
    assert refused.value.param == "after"
    referred = [{"type": "item_reference", "id": each} for each in found]
    assert [item["role"] for item in await scene.before(input=referred)] == ["user", "assistant", "user"]
    with pytest.raises(InvalidRequest) as unknown:
        await scene.before(org=OTHER, input=referred)
    assert (unknown.value.code, unknown.value.param) == ("item_not_found", "input[0]")


async def test_compaction_is_opened_when_it_is_the_organizations_own(scene: Scene) -> None:
    """In a request and in a chain; what a target sealed is left to targets."""
    sealed = scene.history.seal(b"They like tea.", org_id=ORG)
    compaction = {"type": "compaction", "id": "cmp_1", "encrypted_content": sealed}
    (message,) = await scene.before(input=[compaction])
    assert message["content"].endswith("They like tea.")
    request = json.dumps({"model": "m", "input": [compaction]}).encode()
    await scene.store(IDS[0], "one", request=request)
    items = await scene.before(input="more", previous_response_id=IDS[0])
    assert items[0] == message
    theirs = {"type": "compaction", "encrypted_content": "gAAAAA"}
    assert await scene.before(input=[theirs]) == [theirs]
    with pytest.raises(InvalidRequest) as refused:
        await scene.before(org=OTHER, input=[compaction])
    assert refused.value.code == "invalid_encrypted_content"


async def test_retries_and_deletions_do_not_meet_when_they_race(scene: Scene) -> None:
    """Of many deletions at once one deletes; the others find nothing."""
    await scene.store(IDS[0], "one")
    told = await asyncio.gather(*(scene.kept.delete(ORG, IDS[0]) for _ in range(8)), return_exceptions=True)
    assert [isinstance(each, ApiError) for each in told].count(False) == 1
