"""What a response keeps of its items, as data: those it was asked with, those it gave, their ids, and how they go on.

    request, answer --items--> what comes before the next request --continued--> the call that targets get

An item that its client sent without an id is shown under one that is made of the response's id and the item's place, and
so are the items of translated answers: their response is found by it. `named` are the others. Decides nothing about who may read what, and knows
no store. Source: contract §3.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ingot import rawjson
from ingot.canonical import Loss
from ingot.dialects.attached import files_of_responses, split
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

MARK: Final = "ingot1."
"""What encrypted content of ours begins with; any other is a target's."""
SEALED: Final = ("reasoning", "compaction")
"""The items that hold what only their maker can read."""
NOBODY: Final = ""
"""The maker of what is sealed by one whom nobody knows; no target has this name."""
ELSEWHERE: Final = "a model's thoughts go back only to where they came from"
UNKNOWN: Final = "thoughts of which nobody knows whose they are; they go back only to where they came from"
_COMPACTED: Final = "what a target compacted can be read by that target alone"
_UNSEALED: Final = (
    "these thoughts came without a seal, and their model cannot be shown them again; ask for "
    "reasoning.encrypted_content in 'include'"
)
# Places are counted up, so that of a target's random ids next to none looks like this.
_OUR_THOUGHTS: Final = re.compile(r"rs_[0-9a-f]{28}i?00[0-9a-f]{2}")

_encode = msgspec.json.Encoder().encode


class _Asked(msgspec.Struct):
    input: Any = None
    previous_response_id: str | None = None


class _Answered(msgspec.Struct):
    output: list[Json]
    status: str | None = None
    id: str | None = None


class _Name(msgspec.Struct):
    id: Any = None
    type: Any = None
    role: Any = None


class _NamedInput(msgspec.Struct):
    input: str | list[_Name] | None = None


class _NamedOutput(msgspec.Struct):
    output: list[_Name]


_asked = msgspec.json.Decoder(_Asked)
_answered = msgspec.json.Decoder(_Answered)
_named_input = msgspec.json.Decoder(_NamedInput)
_named_output = msgspec.json.Decoder(_NamedOutput)


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


def own_items(call: Call, response_id: str) -> list[Past]:
    """The items that a stamped call has beyond those before it, as they are shown of the response.

    As the client wrote them, but for references: those are what they refer to, with its maker, and nothing where that came
    before.
    """
    sent_items = as_items(call.body.value.get("input"))
    before = {item.get("id") for item in sent_items[: len(call.makers)]}
    asked = [] if call.stamp is None else as_items(call.stamp.asked.value.get("input"))
    makers = [maker for maker, _ in call.referred] or [None] * len(asked)
    shown = []
    for index, (own, found, maker) in enumerate(
        zip(asked, sent_items[len(call.makers) :], makers, strict=True)
    ):
        refers = kind_of(own, f"input[{index}]") == "item_reference"
        if not (refers and found.get("id") in before):
            shown.append(Past(_shown(found if refers else own, response_id, index), maker))
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


def named(request: bytes, answer: bytes, response_id: str) -> list[str]:
    """The ids of a response's items that do not tell it, each once, the newest first; raises ValueError.

    A reference is no item of its own.
    """
    told = _named_input.decode(request).input
    asked = told if isinstance(told, list) else []
    own = [item for item in asked if not _is_reference(item)]
    names = (item.id for item in (*_named_output.decode(answer).output[::-1], *own[::-1]))
    found = (name for name in names if type(name) is str and holder_of(name) != response_id)
    return list(dict.fromkeys(found))


def _is_reference(item: _Name) -> bool:
    return item.type == "item_reference" or (item.type is None and item.role is None)


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


def continued(call: Call, before: Sequence[Past], own: Sequence[Past]) -> Call:
    """The call with the items of earlier responses, or of its conversation, before its own, as targets get it.

    `own` are its own with what it refers to in the places of references.
    """
    items = [past.item for past in (*before, *own)]
    found = any(past.maker is not None for past in own)
    replace = {"input": _encode(items)}
    data = rawjson.splice(call.body, replace=replace, drop=_OURS)
    value = {name: held for name, held in call.body.value.items() if name not in _OURS}
    body = Body(data, {**value, "input": items})
    files, documents = split(files_of_responses(items, call.body.value.get("tools") or ()))
    return msgspec.structs.replace(
        call,
        body=body,
        images=tuple(images_of(items)),
        files=files,
        documents=documents,
        makers=tuple(past.maker for past in before),
        source="previous_response_id" if conversation_of(call.body.value) is None else "conversation",
        referred=tuple((past.maker, index) for index, past in enumerate(own)) if found else (),
    )


def for_target(call: Call, target: str, *, native: bool) -> Call:
    """The call as this target gets it: of earlier responses, and of items that are referred to, thoughts go back to their
    maker alone, and so do ids.

    A target is asked to store nothing, so that thoughts which it did not write down are nothing to it. What is left out is
    told in `losses`; of a call that is translated the codec says so, which sees all thoughts.
    """
    items = call.body.value.get("input")
    if type(items) is not list:
        return call
    places = _places(call, len(items))
    # What is said once more has the maker that it had.
    known = {
        item["id"]: maker for item, (maker, _) in zip(items, places, strict=True) if maker and "id" in item
    }
    told: list[Json] = []
    kept: list[tuple[str | None, int]] = []
    losses: list[Loss] = []
    for index, (item, place) in enumerate(zip(items, places, strict=True)):
        maker = place[0] or known.get(item.get("id"), place[0])
        same = native and maker == target
        lost = _lost(item, maker, same=same) if native and item.get("type") in SEALED else None
        if lost is not None:
            losses.append(msgspec.structs.replace(lost, path=own_place(f"input[{index}]", call)))
            continue
        told.append(item if maker is None or same else _nameless(item))
        kept.append(place)
    if told == items:
        return call
    data = rawjson.splice(call.body, replace={"input": _encode(told)})
    return msgspec.structs.replace(
        call,
        body=Body(data, {**call.body.value, "input": told}),
        images=tuple(images_of(told)),
        makers=tuple(maker for maker, index in kept if index < 0),
        referred=tuple(each for each in kept if each[1] >= 0) if call.referred else (),
        losses=tuple(dict.fromkeys(losses)),
    )


def _places(call: Call, count: int) -> list[tuple[str | None, int]]:
    """Of each item its maker, and its place in the client's own input, -1 before it."""
    behind = call.referred or tuple((None, index) for index in range(count - len(call.makers)))
    return [*((maker, -1) for maker in call.makers), *behind]


def _lost(item: Json, maker: str | None, *, same: bool) -> Loss | None:
    """Why a target that speaks the dialect does not get these thoughts; None where it does."""
    sealed = item.get("encrypted_content")
    if item["type"] == "compaction":
        return None if same or maker is None else Loss("", "part", _COMPACTED)
    if maker == NOBODY:
        return Loss("", "thoughts", UNKNOWN)
    if same:
        # Its client asked for no more, so that nothing which it said is lost.
        return None if sealed or item.get("content") else Loss("", "default", _UNSEALED)
    return Loss("", "thoughts", ELSEWHERE) if maker is not None or _is_ours(item, sealed) else None


def _is_ours(item: Json, sealed: Any) -> bool:
    """Whether a client got these thoughts in an answer that was translated."""
    if type(sealed) is str and sealed:
        return sealed.startswith(MARK)
    item_id = item.get("id")
    return type(item_id) is str and _OUR_THOUGHTS.fullmatch(item_id) is not None


def _nameless(item: Json) -> Json:
    return {name: held for name, held in item.items() if name != "id"}


def own_place(path: str, call: Call) -> str:
    """A place in a body that holds items of earlier responses, as the client of the last request would name it."""
    found = _ITEM.match(path)
    if found is None:
        return path
    index = int(found[1]) - len(call.makers)
    asked = {} if call.stamp is None else call.stamp.asked.value
    if index < 0:
        return call.source
    place = call.referred[index][1] if index < len(call.referred) else index
    return "input" if type(asked.get("input")) is str else f"input[{place}]{path[found.end() :]}"
