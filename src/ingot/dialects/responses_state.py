"""What a response keeps of its items, as data: those it was asked with, those it gave, their ids, and how they go on.

    request, answer --items--> what comes before the next request --continued--> the call that targets get

An item that its client sent without an id is shown under one that is made of the response's id and the item's place, and
so are the items of translated answers: their response is found by it. Decides nothing about who may read what, and knows
no store. Source: contract §3.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ingot import rawjson
from ingot.dialects.attached import files_of_responses
from ingot.dialects.dialect import Call, Past
from ingot.dialects.items import complete
from ingot.dialects.responses_items import images_of, kind_of
from ingot.rawjson import Body

Json = dict[str, Any]

PREFIX: Final = "resp_"
GOES_ON: Final = ("completed", "incomplete")
"""How a response has to have ended to be gone on from."""

_MADE: Final = re.compile(r"[a-z]+_([0-9a-f]{28})i?[0-9a-f]{4}")
_ITEM: Final = re.compile(r"input\[(\d+)\]")
# Says what came before, which no target knows.
_OURS: Final = ("previous_response_id", "conversation")

_encode = msgspec.json.Encoder().encode


class _Asked(msgspec.Struct):
    input: Any = None
    previous_response_id: str | None = None


class _Answered(msgspec.Struct):
    output: list[Json]
    status: str | None = None
    id: str | None = None


_asked = msgspec.json.Decoder(_Asked)
_answered = msgspec.json.Decoder(_Answered)


def previous_of(request: bytes) -> str | None:
    """The response that a stored request went on from; raises ValueError."""
    return _asked.decode(request).previous_response_id


def items_in(request: bytes, response_id: str) -> list[Json]:
    """The items that a response was asked with, each with its id and its content as parts; raises ValueError."""
    return [_shown(item, response_id, index) for index, item in enumerate(sent(request))]


def sent(request: bytes) -> list[Json]:
    """The items that a response was asked with, as the client wrote them; raises ValueError."""
    return as_items(_asked.decode(request).input)


def as_items(told: Any) -> list[Json]:
    """An input as items: a text is one message of the user."""
    if type(told) is str:
        return [{"type": "message", "role": "user", "content": told}]
    return told if type(told) is list else []


def conversation_of(asked: Mapping[str, Any]) -> str | None:
    """The conversation that a request belongs to; `asked` is a client's checked body."""
    told = asked.get("conversation")
    return told["id"] if isinstance(told, dict) else told


def own_items(call: Call, response_id: str) -> list[Json]:
    """The items that a stamped call has beyond those before it, as they are shown of the response.

    As the client wrote them, but for references: those are what they refer to, and nothing where that came before.
    """
    sent_items = as_items(call.body.value.get("input"))
    before = {item.get("id") for item in sent_items[: len(call.makers)]}
    asked = [] if call.stamp is None else as_items(call.stamp.asked.value.get("input"))
    shown = []
    for index, (own, found) in enumerate(zip(asked, sent_items[len(call.makers) :], strict=True)):
        refers = kind_of(own, f"input[{index}]") == "item_reference"
        if not (refers and found.get("id") in before):
            shown.append(_shown(found if refers else own, response_id, index))
    return shown


def items_out(answer: bytes) -> list[Json]:
    """The items that a response gave; raises ValueError."""
    return _answered.decode(answer).output


def status_of(answer: bytes) -> str | None:
    """How a response ended; raises ValueError."""
    return _answered.decode(answer).status


def id_of(answer: bytes) -> str | None:
    """The id of a response; raises ValueError."""
    return _answered.decode(answer).id


def holder_of(item_id: str) -> str | None:
    """The response whose item has this id, where the id tells it."""
    made = _MADE.fullmatch(item_id)
    return None if made is None else PREFIX + made[1]


def _shown(item: Json, response_id: str, index: int) -> Json:
    kind = kind_of(item, f"input[{index}]")
    end = f"{response_id.removeprefix(PREFIX)}i{index:04x}"
    return complete({**item, "type": kind}, new_id=lambda prefix: f"{prefix}_{end}").value


# ---- going on


def needs_past(call: Call) -> bool:
    """Whether a request says something that only the store can tell."""
    value = call.body.value
    if value.get("previous_response_id") is not None or value.get("conversation") is not None:
        return True
    told = value.get("input")
    return type(told) is list and any(
        kind_of(item, "input") in ("item_reference", "compaction") for item in told
    )


def continued(call: Call, before: Sequence[Past], own: Sequence[Json]) -> Call:
    """The call with the items of earlier responses, or of its conversation, before its own, as targets get it."""
    items = [past.item for past in before] + list(own)
    replace = {"input": _encode(items)}
    data = rawjson.splice(call.body, replace=replace, drop=_OURS)
    value = {name: held for name, held in call.body.value.items() if name not in _OURS}
    body = Body(data, {**value, "input": items})
    return msgspec.structs.replace(
        call,
        body=body,
        images=tuple(images_of(items)),
        files=tuple(files_of_responses(items, call.body.value.get("tools") or ())),
        makers=tuple(past.maker for past in before),
    )


def for_target(call: Call, target: str, *, native: bool) -> Call:
    """The call as this target gets it: of earlier responses, thoughts go back to their maker alone, and so do ids.

    A target is asked to store nothing, so that thoughts which it did not write down are nothing to it.
    """
    if not call.makers:
        return call
    items: list[Json] = call.body.value["input"]
    before = len(call.makers)
    kept = [
        (item if maker is None else _passed(item, same=native and maker == target), maker)
        for item, maker in zip(items[:before], call.makers, strict=True)
    ]
    passed = [(item, maker) for item, maker in kept if item is not None]
    told = [item for item, _ in passed] + items[before:]
    if told == items:
        return call
    data = rawjson.splice(call.body, replace={"input": _encode(told)})
    return msgspec.structs.replace(
        call,
        body=Body(data, {**call.body.value, "input": told}),
        images=tuple(images_of(told)),
        makers=tuple(maker for _, maker in passed),
    )


def own_place(path: str, call: Call) -> str:
    """A place in a body that holds items of earlier responses, as the client of the last request would name it."""
    found = _ITEM.match(path)
    if found is None:
        return path
    index = int(found[1]) - len(call.makers)
    asked = {} if call.stamp is None else call.stamp.asked.value
    if index < 0:
        return "previous_response_id" if asked.get("conversation") is None else "conversation"
    return "input" if type(asked.get("input")) is str else f"input[{index}]{path[found.end() :]}"


def _passed(item: Json, *, same: bool) -> Json | None:
    """An item of an earlier answer for its maker, or for another target; None where it means nothing there."""
    if item.get("type") == "reasoning":
        told = item.get("encrypted_content") or item.get("content")
        return item if same and told else None
    return item if same else {name: held for name, held in item.items() if name != "id"}
