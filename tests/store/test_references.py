"""Items that requests refer to by their ids alone, on both databases: found wherever their organization keeps them."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, func, select, update

from databases import Place
from ingot.dialects.dialect import Stamp
from ingot.dialects.responses_state import for_target, own_place
from ingot.errors import InvalidRequest, TooLarge
from ingot.rawjson import Body
from ingot.store import conversations
from ingot.store import responses as store
from ingot.store.conversations import Conversation, Kept
from ingot.store.erasure import erase_organization
from ingot.store.schema import organizations, response_items
from responsehouse import IDS, ORG, OTHER, Scene, open_scene


@pytest.fixture
async def scene(backend: Place) -> AsyncIterator[Scene]:
    """An empty store of two organizations."""
    async with open_scene(backend) as opened:
        yield opened


def _named(which: str, *names: str, text: str = "told", **fields: Any) -> dict[str, Any]:
    """The answer of a target that names its items itself, as fields of a settlement."""
    output = [{"type": "message", "id": name, "role": "assistant", "content": text} for name in names]
    answer = {"id": which, "object": "response", "status": "completed", "output": output}
    return {"answer": json.dumps(answer).encode(), **fields}


def _refer(*names: str) -> list[dict[str, Any]]:
    return [{"type": "item_reference", "id": name} for name in names]


async def _names(scene: Scene) -> int:
    count = select(func.count()).select_from(response_items)
    return int(await scene.db.read(lambda conn: conn.execute(count).scalar_one()))


async def test_item_is_found_by_its_name_when_a_target_made_it(scene: Scene) -> None:
    """The newest response that has it counts, as long as it is there; a client's own names are found too."""
    mine = {"id": "msg_mine", "role": "user", "content": "mine"}
    request = json.dumps({"model": "m", "input": [mine, *_refer("msg_0")]}).encode()
    await scene.store(IDS[0], "", **_named(IDS[0], "msg_0", "msg_1", text="old"))
    await scene.store(IDS[1], "", request=request, **_named(IDS[1], "msg_0", text="new"))
    items = await scene.before(input=_refer("msg_0", "msg_1", "msg_mine", f"msg_{IDS[0][5:]}i0000"))
    assert [item["content"] for item in items][:2] == ["new", "old"]
    assert [item["content"][0]["text"] for item in items[2:]] == ["mine", "say "]
    await scene.kept.delete(ORG, IDS[1])
    assert [item["content"] for item in await scene.before(input=_refer("msg_0"))] == ["old"]
    await scene.kept.delete(ORG, IDS[0])
    assert await _names(scene) == 0


async def test_item_is_found_when_its_name_looks_like_one_of_ours(scene: Scene) -> None:
    """As where the target is a server of the same kind."""
    await scene.store(IDS[0], "", **_named(IDS[0], f"msg_{'e' * 28}0000"))
    [item] = await scene.before(input=_refer(f"msg_{'e' * 28}0000"))
    assert item["content"] == "told"


async def test_item_is_found_when_its_response_is_not_written_yet(scene: Scene) -> None:
    """Where answers are given before they are durable."""
    told = scene.recorder.record(scene.settlement(IDS[0], "", **_named(IDS[0], "msg_a")))
    assert len(await scene.before(input=_refer("msg_a"))) == 1
    assert told.done()


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"org_id": OTHER}, 1),
        ({"expires_at": 1}, 1),
        ({"request": None, "answer": None, "expires_at": None}, 0),
        ({"surface": "chat"}, 0),
        ({"answer": b"no json"}, 0),
    ],
    ids=["foreign", "expired", "unkept", "other surface", "unreadable"],
)
async def test_item_cannot_be_told_from_none_when_it_may_not_be_read(
    scene: Scene, fields: dict[str, Any], names: int
) -> None:
    """Nothing is said of why; what is not kept has no names."""
    await scene.store(IDS[0], "", **(_named(IDS[0], "msg_a", "msg_\0", "m" * 300) | fields))
    assert await _names(scene) == names
    with pytest.raises(InvalidRequest) as refused:
        await scene.before(input=_refer("msg_a"))
    assert (refused.value.code, refused.value.param) == ("item_not_found", "input[0]")


@pytest.mark.parametrize("how", ["deleted", "swept", "erased", "ended before"])
async def test_names_go_when_the_content_goes(scene: Scene, how: str) -> None:
    """With the response, at the retention's turn, and with the organization, also one that ended a moment before."""

    def end(conn: Connection) -> None:
        conn.execute(update(organizations).where(organizations.c.id == ORG).values(deleted_at=1))

    if how == "ended before":
        await scene.db.write(end)
    await scene.store(IDS[0], "", **_named(IDS[0], "msg_a"))
    await scene.store(IDS[1], "", **_named(IDS[1], "msg_a", org_id=OTHER, expires_at=2**60))
    if how == "deleted":
        await scene.kept.delete(ORG, IDS[0])
    elif how == "swept":
        await scene.db.write(lambda conn: store.sweep(conn, 2**59))
    elif how == "erased":
        await scene.db.write(lambda conn: erase_organization(conn, ORG))
    assert await _names(scene) == 1
    [left] = await scene.before(org=OTHER, input=_refer("msg_a"))
    assert left["id"] == "msg_a"


async def test_thoughts_stay_with_their_maker_when_they_are_referred_to(scene: Scene) -> None:
    """In the request itself, and in a chain behind it whose client referred to them; places stay the client's."""
    thought = {"type": "reasoning", "id": "rs_a", "summary": [], "encrypted_content": "sealed"}
    said = {"type": "message", "id": "msg_a", "role": "assistant", "content": "so"}
    answer = {"id": IDS[0], "status": "completed", "output": [thought, said]}
    await scene.store(IDS[0], "", answer=json.dumps(answer).encode())
    told = [*_refer("rs_a", "msg_a"), {"role": "user", "content": "on"}]
    await scene.store(IDS[1], "more", request=json.dumps({"model": "m", "input": told}).encode())
    for fields in ({"input": told}, {"input": "on", "previous_response_id": IDS[1]}):
        call = await scene.call(**fields)
        mine = for_target(call, "up", native=True).body.value["input"]
        assert mine[:3] == [thought, said, {"role": "user", "content": "on"}]
        other = for_target(call, "down", native=True)
        assert json.loads(other.body.data)["input"] == other.body.value["input"]
        assert [item.get("type", "message") for item in other.body.value["input"]] == ["message"] * (
            len(mine) - 1
        )
        assert "id" not in other.body.value["input"][0]
        assert json.loads(other.body.data)["input"][1] == {"role": "user", "content": "on"}
    call = await scene.call(input=told)
    asked = Stamp(id=IDS[2], asked=Body(b"", {"input": told}), now=float)
    other = replace(for_target(call, "down", native=True), stamp=asked)
    assert own_place("input[1].content", other) == "input[2].content"


async def test_chain_is_refused_when_it_refers_to_what_is_gone(scene: Scene) -> None:
    """What is deleted is in no later request, however it came into the chain."""
    await scene.store(IDS[0], "", **_named(IDS[0], "msg_a"))
    request = json.dumps({"model": "m", "input": _refer("msg_a")}).encode()
    answer = {"id": IDS[1], "status": "completed", "output": [{"type": "odd", "id": {}}, {"type": "odd"}]}
    await scene.store(IDS[1], "", request=request, answer=json.dumps(answer).encode())
    assert len(await scene.before(input="more", previous_response_id=IDS[1])) == 4
    await scene.kept.delete(ORG, IDS[0])
    with pytest.raises(InvalidRequest, match="msg_a") as refused:
        await scene.before(input="more", previous_response_id=IDS[1])
    assert (refused.value.code, refused.value.param) == ("item_not_found", "previous_response_id")


async def test_item_is_found_when_a_conversation_has_it(scene: Scene) -> None:
    """With its maker, by its organization alone, until it is deleted; the newest conversation counts."""

    def fill(conn: Connection) -> None:
        for number, text in enumerate(("old", "new")):
            which = f"conv_{number}"
            conversations.insert_conversation(conn, ORG, Conversation(which, 0, {}))
            item = json.dumps({"type": "reasoning", "id": "rs_a", "content": text}).encode()
            conversations.insert_items(conn, which, [Kept(0, "rs_a", item, "up")], org_id=ORG)

    await scene.db.write(fill)
    assert [item["content"] for item in await scene.before(input=_refer("rs_a"))] == ["new"]
    call = await scene.call(input=_refer("rs_a"))
    assert for_target(call, "down", native=True).body.value["input"] == []
    with pytest.raises(InvalidRequest):
        await scene.before(org=OTHER, input=_refer("rs_a"))
    await scene.db.write(lambda conn: conversations.delete_conversation(conn, ORG, "conv_1"))
    assert [item["content"] for item in await scene.before(input=_refer("rs_a"))] == ["old"]
    await scene.db.write(lambda conn: conversations.delete_item(conn, "conv_0", "rs_a"))
    with pytest.raises(InvalidRequest):
        await scene.before(input=_refer("rs_a"))


@pytest.mark.parametrize("how", ["read", "repeated", "many"])
async def test_references_are_refused_when_they_are_too_much(scene: Scene, how: str) -> None:
    """By the bytes that are read, by those that they become, and by their number."""
    await scene.store(IDS[0], "", **_named(IDS[0], "msg_a", text="x" * 2_000))
    most, names = {
        "read": (2_000, ["msg_a"]),
        "repeated": (5_000, ["msg_a"] * 3),
        "many": (5_000, [f"msg_{number}" for number in range(2_001)]),
    }[how]
    with pytest.raises(TooLarge) as refused:
        await scene.before(most=most, input=_refer(*names))
    assert refused.value.param == "input"
    assert len(await scene.before(most=5_000, input=_refer("msg_a", "msg_a"))) == 2


async def test_names_of_a_response_are_bounded_when_its_items_are_many(scene: Scene) -> None:
    """The answer's come first, then the newest of its request."""
    told = [{"id": f"msg_{number}", "role": "user", "content": "x"} for number in range(1_200)]
    request = json.dumps({"model": "m", "input": told}).encode()
    await scene.store(IDS[0], "", request=request, **_named(IDS[0], "msg_out"))
    assert await _names(scene) == 1_000
    assert len(await scene.before(input=_refer("msg_out", "msg_1199", "msg_201"))) == 3
    with pytest.raises(InvalidRequest):
        await scene.before(input=_refer("msg_200"))
