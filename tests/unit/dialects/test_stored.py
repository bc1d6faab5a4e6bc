"""Stored chat completions as they are shown: bytes in, bytes out."""

import json

import pytest

from ingot.dialects.stored import decode_update, render_completion, render_list, render_messages
from ingot.errors import InvalidRequest


def test_values_keep_their_bytes_when_shown() -> None:
    """Numbers, spaces and escapes of the target stay; id, object and metadata are ours."""
    kept = b'{"id": "x", "choices": [ {"a":1.50, "b":"\\u00e4"} ], "odd": 1e2}'
    shown = render_completion(kept, shown="chatcmpl-1", metadata={"k": "ä"})
    assert b'"choices":[ {"a":1.50, "b":"\\u00e4"} ]' in shown
    assert b'"odd":1e2' in shown
    value = json.loads(shown)
    assert (value["id"], value["object"], value["metadata"]) == ("chatcmpl-1", "chat.completion", {"k": "ä"})


@pytest.mark.parametrize("kept", [b"", b"data: x", b"[]", b"null"])
def test_what_is_no_object_is_told_when_shown(kept: bytes) -> None:
    """The caller decides what that means."""
    with pytest.raises(ValueError, match=r"."):
        render_completion(kept, shown="c", metadata={})
    with pytest.raises(ValueError, match=r"."):
        render_messages(kept, shown="c")


def test_parts_move_when_the_content_is_an_array() -> None:
    """A text, null and nothing are content; an array is content_parts."""
    contents = ('"text"', "null", ' [{"type":"text","text":"a"}]')
    messages = ",".join(f'{{"role":"user","content":{content}}}' for content in contents)
    asked = f'{{"messages":[{messages},{{"role":"assistant","tool_calls":[1.0]}}]}}'.encode()
    found = [json.loads(message) for _, message in render_messages(asked, shown="c")]
    assert [(each["id"], each["content"], each["content_parts"]) for each in found] == [
        ("c-0", "text", None),
        ("c-1", None, None),
        ("c-2", None, [{"type": "text", "text": "a"}]),
        ("c-3", None, None),
    ]
    assert found[3]["tool_calls"] == [1.0]
    assert all(set(each) >= {"id", "role", "content", "name", "content_parts"} for each in found)


def test_list_is_a_cursor_page_when_rendered() -> None:
    """With the ends' ids, null where it is empty."""
    page = json.loads(render_list([("a", b'{"id":"a"}'), ("b", b'{"id":"b"}')], more=True))
    ends = {"first_id": "a", "last_id": "b", "has_more": True}
    assert page == {"object": "list", "data": [{"id": "a"}, {"id": "b"}], **ends}
    empty = json.loads(render_list([], more=False))
    assert (empty["data"], empty["first_id"], empty["last_id"], empty["has_more"]) == ([], None, None, False)


def test_update_says_what_would_be_right_when_refused() -> None:
    """As the same field of a request does."""
    assert decode_update(b'{"metadata":{"a":"b"},"more":1}') == {"a": "b"}
    assert decode_update(b'{"metadata":null}') == {}
    with pytest.raises(InvalidRequest, match="Missing required parameter: 'metadata'") as caught:
        decode_update(b"{}")
    assert caught.value.code == "missing_required_parameter"
    with pytest.raises(InvalidRequest, match="at most 16"):
        decode_update(json.dumps({"metadata": {str(n): "x" for n in range(17)}}).encode())
