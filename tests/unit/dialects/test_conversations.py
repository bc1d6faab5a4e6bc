"""Bodies about conversations, and items as they are kept and shown."""

from typing import Any

import pytest

from ingot.dialects.conversations import decode_create, decode_items, decode_update, read_body, render_item
from ingot.dialects.dialect import Call, Past, Stamp
from ingot.dialects.items import INCLUDABLE, PREFIXES, complete, encode_item, read_include
from ingot.dialects.responses_state import continued, own_items
from ingot.errors import ApiError, InvalidRequest
from ingot.rawjson import Body

HELLO: Any = {"role": "user", "content": "Hello"}


def _new_id(prefix: str) -> str:
    return f"{prefix}_new"


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"items": [HELLO] * 21}, "items", "array_above_max_length"),
        ({"items": [HELLO, {"role": "user"}]}, "items[1].content", "missing_required_parameter"),
        (
            {"items": [{"role": "user", "content": [{"text": "x"}]}]},
            "items[0].content[0].type",
            "missing_required_parameter",
        ),
        (
            {"items": [{"role": "user", "content": [{"type": "input_txt"}]}]},
            "items[0].content[0].type",
            "invalid_value",
        ),
        ({"items": [{"role": "user", "content": [{"type": 1}]}]}, "items[0].content[0].type", "invalid_type"),
        (
            {"items": [HELLO] * 3 + [{"role": "user", "content": [{"type": "input_text", "text": 1}]}]},
            "items[3].content[0].text",
            "invalid_type",
        ),
        (
            {"items": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "items[0].content[0].image_url",
            "missing_required_parameter",
        ),
        ({"items": [{"role": "robot", "content": "x"}]}, "items[0].role", "invalid_value"),
        ({"items": [{"type": "mesage"}]}, "items[0].type", "invalid_value"),
        ({"items": [{"id": "msg_1"}]}, "items[0].type", "invalid_value"),
        ({"items": [{}]}, "items[0].type", "missing_required_parameter"),
        (
            {"items": [{"type": "function_call", "call_id": "c", "name": "f"}]},
            "items[0].arguments",
            "missing_required_parameter",
        ),
        ({"items": [{**HELLO, "id": "msg_1"}, {**HELLO, "id": "msg_1"}]}, "items[1].id", "invalid_value"),
        ({"items": [{**HELLO, "id": "m" * 65}]}, "items[0].id", "invalid_value"),
        ({"items": [{**HELLO, "id": 1}]}, "items[0].id", "invalid_type"),
        ({"items": ["x"]}, "items[0]", "invalid_type"),
        ({"metadata": {"k": "v" * 513}}, "metadata", "string_above_max_length"),
        ({"metadata": {"k" * 65: "v"}}, "metadata", "string_above_max_length"),
        ({"metadata": {"k": 1}}, "metadata", "invalid_type"),
        ({"metadata": {"k": "\0"}}, "metadata", "invalid_value"),
        ({"metadata": {f"k{n}": "v" for n in range(17)}}, "metadata", "object_above_max_properties"),
        ({"metdata": {}}, "metdata", "unknown_parameter"),
    ],
)
def test_error_names_the_field_when_a_body_is_wrong(body: dict[str, Any], param: str, code: str) -> None:
    """Each says what would be right."""
    with pytest.raises(ApiError) as caught:
        decode_create(body, new_id=_new_id)
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, code)


def test_items_are_required_when_they_are_to_be_added() -> None:
    """A new conversation may be empty; an addition of nothing is a mistake."""
    assert decode_create({}, new_id=_new_id).items == []
    assert read_body(b" ") == {}
    bodies: tuple[dict[str, Any], ...] = ({}, {"items": []}, {"items": None})
    for body in bodies:
        with pytest.raises(InvalidRequest) as caught:
            decode_items(body, new_id=_new_id)
        assert caught.value.param == "items"
    with pytest.raises(InvalidRequest):
        decode_update({})


@pytest.mark.parametrize("kind", PREFIXES)
def test_item_of_every_type_gets_an_id_when_it_has_none(kind: str) -> None:
    """It begins with what its type's ids begin with; an own id stays."""
    made = complete({"type": kind, "id": None}, new_id=_new_id)
    assert made.id == made.value["id"] == f"{PREFIXES[kind]}_new"
    assert complete({"type": kind, "id": "own"}, new_id=_new_id).id == "own"


@pytest.mark.parametrize("wish", INCLUDABLE)
def test_field_is_shown_when_it_is_asked_for(wish: str) -> None:
    """And left out when it is not; what stands beside it stays."""
    kind, *way = INCLUDABLE[wish]
    inner: Any = {"kept": 1, way[-1]: "told"}
    whole: Any
    bare: Any
    if kind == "message":
        whole = {"type": kind, "content": [{"type": way[0], **inner}, {"type": "refusal", way[-1]: "other"}]}
        bare = {"type": kind, "content": [{"type": way[0], "kept": 1}, {"type": "refusal", way[-1]: "other"}]}
    elif len(way) == 2:
        whole, bare = {"type": kind, way[0]: inner}, {"type": kind, way[0]: {"kept": 1}}
    else:
        whole, bare = {"type": kind, **inner}, {"type": kind, "kept": 1}
    stored = encode_item(whole)
    assert render_item(stored, read_include([wish])) == stored
    assert render_item(stored, ()) == encode_item(bare)


def test_own_items_are_the_clients_when_others_came_before() -> None:
    """With ids that tell their response; a reference is what it refers to, and nothing where that came before."""
    old = {"type": "message", "id": "msg_old", "role": "user", "content": "old"}
    other = {"type": "message", "id": "msg_other", "role": "user", "content": "other"}
    asked: dict[str, Any] = {
        "model": "m",
        "input": [
            HELLO,
            {"type": "item_reference", "id": "msg_old"},
            {"type": "item_reference", "id": "msg_other"},
            {"type": "compaction", "encrypted_content": "sealed"},
            {"type": "function_call_output", "call_id": "c", "output": "x"},
        ],
    }
    body = Body(b"", asked)
    call = continued(
        Call(model="m", body=Body(b"{}", asked), stamp=Stamp(id="resp_1", asked=body, now=float)),
        [Past(old)],
        [
            Past(HELLO),
            Past(old),
            Past(other, "up"),
            Past({"role": "user", "content": "what was sealed"}),
            Past(asked["input"][4]),
        ],
    )
    own = own_items(call, "resp_0123")
    assert [past.maker for past in own] == [None, "up", None, None]
    shown = [past.item for past in own]
    assert [item["id"] for item in shown] == ["msg_0123i0000", "msg_other", "cmp_0123i0003", "fco_0123i0004"]
    assert shown[0]["content"] == [{"type": "input_text", "text": "Hello"}]
    assert shown[2]["encrypted_content"] == "sealed"


def test_wish_is_refused_when_there_is_no_such_field() -> None:
    """It names those that there are."""
    with pytest.raises(InvalidRequest, match=r"reasoning\.encrypted_content"):
        read_include(["everything"])
