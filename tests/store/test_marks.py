"""Marks of what targets sealed, on both databases: by them its maker is known, and they go."""

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from databases import Place
from ingot.dialects.responses_state import NOBODY
from ingot.store import marks
from responsehouse import IDS, MICROS, ORG, OTHER, Scene, open_scene

THOUGHT: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed"}
HI: dict[str, Any] = {"role": "user", "content": "hi"}
DAY = 86_400


@pytest.fixture
async def scene(backend: Place) -> AsyncIterator[Scene]:
    """An empty store of two organizations."""
    async with open_scene(backend) as opened:
        yield opened


def _marks(scene: Scene, content: str = "sealed") -> tuple[str, ...]:
    return (scene.history.mark(content, org_id=ORG),)


async def _makers(scene: Scene, *items: dict[str, Any], org: str = ORG) -> list[str | None]:
    call = await scene.call(org=org, input=[*items, HI])
    return [maker for maker, _ in call.referred]


async def test_maker_is_known_when_its_answer_was_not_stored(scene: Scene) -> None:
    """The mark is there all the same, for this organization and this content alone; no byte of the request changes."""
    await scene.store(
        IDS[0], "", target="up", expires_at=None, request=None, answer=None, marks=_marks(scene)
    )
    assert await _makers(scene, THOUGHT) == ["up", None]
    assert await _makers(scene, {**THOUGHT, "encrypted_content": "odd"}) == [NOBODY, None]
    assert await _makers(scene, THOUGHT, org=OTHER) == [NOBODY, None]
    call = await scene.call(input=[THOUGHT, HI])
    assert call.body.data == json.dumps({"model": "m", "input": [THOUGHT, HI]}).encode()
    assert await _makers(scene) == []


async def test_maker_is_the_newest_when_several_gave_the_same(scene: Scene) -> None:
    """And is known also while its answer is still on its way into the store."""
    await scene.store(IDS[0], "", target="up", marks=_marks(scene))
    await scene.store(IDS[1], "", target="down", marks=_marks(scene))
    assert await _makers(scene, THOUGHT) == ["down", None]
    told = scene.recorder.record(scene.settlement(IDS[2], "", target="late", marks=_marks(scene, "late")))
    assert await _makers(scene, {**THOUGHT, "encrypted_content": "late"}) == ["late", None]
    await told


async def test_maker_is_known_when_the_item_was_sent_in_an_earlier_request(scene: Scene) -> None:
    """A chain knows what its targets gave, and of what clients put into it the mark tells."""
    await scene.store(IDS[0], "", target="up", marks=_marks(scene))
    odd = {**THOUGHT, "encrypted_content": "odd"}
    request = json.dumps({"model": "m", "input": [THOUGHT, odd, HI]}).encode()
    await scene.store(IDS[1], "said", target="down", request=request)
    call = await scene.call(previous_response_id=IDS[1], input="more")
    assert call.makers == ("up", NOBODY, None, "down")


async def test_mark_goes_when_its_response_does(scene: Scene) -> None:
    """With stored content, when that is deleted."""
    await scene.store(IDS[0], "", target="up", marks=_marks(scene))
    await scene.kept.delete(ORG, IDS[0])
    assert await _makers(scene, THOUGHT) == [NOBODY, None]


async def test_mark_goes_when_it_is_old(scene: Scene) -> None:
    """Of what is not stored after a while; of what is stored with it."""
    await scene.store(
        IDS[0], "", target="up", expires_at=None, request=None, answer=None, marks=_marks(scene)
    )
    await scene.store(IDS[1], "", target="kept", marks=_marks(scene, "kept"))
    # These ids are of the first instant there is.
    young, old = (marks.DAYS * DAY - 1) * MICROS, (marks.DAYS * DAY + 1) * MICROS
    assert await scene.db.write(partial(marks.sweep, now=young)) == 0
    assert await _makers(scene, THOUGHT) == ["up", None]
    assert await scene.db.write(partial(marks.sweep, now=old)) == 1
    assert await scene.db.write(partial(marks.sweep, now=old)) == 0
    assert await _makers(scene, THOUGHT) == [NOBODY, None]
    assert await _makers(scene, {**THOUGHT, "encrypted_content": "kept"}) == ["kept", None]
