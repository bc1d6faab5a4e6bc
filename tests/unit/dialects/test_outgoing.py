"""What goes to a target and what its answer becomes: verbatim wherever nothing has to change."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.canonical import matters
from ingot.catalog import Quirks
from ingot.dialects.chat import CHAT
from ingot.dialects.dialect import Call, Usage
from ingot.dialects.opaque import COMPLETIONS, EMBEDDINGS
from ingot.dialects.outgoing import dropped
from ingot.errors import Unsupported

PLAIN = Quirks()


def call(**fields: Any) -> Call:
    """A valid chat call of the model `pub`, spelled with spaces."""
    body = {"model": "pub", "messages": [{"role": "user", "content": "x"}], **fields}
    return CHAT.decode(json.dumps(body).encode())


def sent(
    what: Call, *, model: str = "pub", quirks: Quirks = PLAIN, force_usage: bool = True
) -> dict[str, Any]:
    """The body that a target would get, decoded."""
    value: dict[str, Any] = json.loads(
        CHAT.prepare(what, model=model, quirks=quirks, force_usage=force_usage)
    )
    return value


@pytest.mark.parametrize(
    "what", [call(), call(stream=True, stream_options={"include_usage": True}), call(top_k=5, n=2)]
)
def test_prepare_when_nothing_changes(what: Call) -> None:
    """The client's very bytes go out."""
    assert CHAT.prepare(what, model="pub", quirks=PLAIN) is what.body.data


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=5).map(lambda text: "x_" + text),
        st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])) | st.none(),
        max_size=4,
    )
)
def test_prepare_when_model_differs(extra: dict[str, Any]) -> None:
    """Only the model's name changes; fields that we do not know keep their bytes."""
    what = call(**extra)
    after = msgspec.json.decode(CHAT.prepare(what, model="up", quirks=PLAIN), type=dict[str, msgspec.Raw])
    before = what.body.raw
    assert {key: bytes(raw) for key, raw in after.items() if key != "model"} == {
        key: bytes(raw) for key, raw in before.items() if key != "model"
    }
    assert bytes(after["model"]) == b'"up"'


def test_prepare_when_usage_is_forced() -> None:
    """A stream is asked for its usage, and the client's other options stay."""
    assert sent(call(stream=True))["stream_options"] == {"include_usage": True}
    what = call(stream=True, stream_options={"include_usage": False, "include_obfuscation": False})
    assert sent(what)["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    assert "stream_options" not in sent(call(stream=True), force_usage=False)
    assert "stream_options" not in sent(call())


def test_prepare_when_target_refuses_stream_options() -> None:
    """A target without stream_options gets none, neither ours nor the client's."""
    quirks = Quirks(stream_options=False)
    assert "stream_options" not in sent(call(stream=True), quirks=quirks)
    assert "stream_options" not in sent(
        call(stream=True, stream_options={"include_usage": True}), quirks=quirks
    )


def test_prepare_when_quirks_apply() -> None:
    """Quirks rename, drop and set top-level fields, in this order."""
    quirks = Quirks(
        rename={"max_completion_tokens": "max_tokens", "absent": "present"},
        drop=frozenset({"user", "store"}),
        set={"store": False, "options": {"a": [1]}},
    )
    after = sent(call(max_completion_tokens=5, max_tokens=7, user="u", top_k=3), model="up", quirks=quirks)
    assert after == {
        "model": "up",
        "messages": [{"role": "user", "content": "x"}],
        "max_tokens": 5,
        "top_k": 3,
        "store": False,
        "options": {"a": [1]},
    }


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ({"user": "u", "metadata": {"a": "b"}, "seed": 7}, ["user", "metadata"]),
        ({"metadata": {}, "store": False}, []),
        ({"store": True, "metadata": {"a": "b"}, "user": "u"}, ["user"]),
        ({"seed": 7}, []),
    ],
)
def test_dropped_when_a_field_is_there(fields: dict[str, Any], paths: list[str]) -> None:
    """Only what a client asks for is told, and not what is kept here and goes to no target; none of it matters."""
    losses = dropped(call(**fields), Quirks(drop=frozenset({"user", "store", "metadata"})))
    assert [loss.path for loss in losses] == paths
    assert [loss for loss in losses if matters(loss)] == []
    assert dropped(call(**fields), Quirks()) == ()


def test_prepare_when_renamed_field_is_null() -> None:
    """A null under one name does not overwrite the value under the other."""
    quirks = Quirks(rename={"max_completion_tokens": "max_tokens"})
    assert sent(call(max_completion_tokens=None, max_tokens=7), quirks=quirks)["max_tokens"] == 7
    assert sent(call(max_completion_tokens=None), quirks=quirks)["max_tokens"] is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"n": 2}, "n"),
        ({"x": 0}, "x"),
        ({"tools": [], "seed": 0}, "seed"),
    ],
)
def test_check_target_when_field_is_rejected(fields: dict[str, Any], param: str) -> None:
    """A field that the target cannot honour is refused by its name and the deployment's."""
    quirks = Quirks(reject=frozenset({"logit_bias", "n", "x", "tools", "seed"}))
    with pytest.raises(Unsupported) as caught:
        CHAT.check_target(call(**fields), quirks, "pub")
    assert (caught.value.status, caught.value.param, caught.value.code) == (
        400,
        param,
        "unsupported_parameter",
    )
    assert "'pub'" in caught.value.message


@pytest.mark.parametrize(
    "fields",
    [{}, {"logit_bias": None}, {"logit_bias": {}}, {"n": 1}, {"logprobs": False, "tools": []}, {"y": 1}],
)
def test_check_target_when_field_asks_for_nothing(fields: dict[str, Any]) -> None:
    """Null and a field's default ask for nothing, so any target honours them."""
    quirks = Quirks(reject=frozenset({"logit_bias", "n", "x", "tools", "logprobs", "image_url"}))
    CHAT.check_target(call(**fields), quirks, "pub")


@pytest.mark.parametrize("entry", ["image_url", "messages[].content[].image_url"])
def test_check_target_when_part_is_rejected(entry: str) -> None:
    """A kind of content part that the target cannot take is refused where it stands."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    messages = [
        {"role": "system", "content": "x"},
        {"role": "user", "content": [{"type": "text", "text": "x"}, image]},
    ]
    with pytest.raises(Unsupported) as caught:
        CHAT.check_target(call(messages=messages), Quirks(reject=frozenset({entry})), "pub")
    assert (caught.value.param, caught.value.code) == ("messages[1].content[1].type", "unsupported_value")
    CHAT.check_target(call(messages=messages), Quirks(reject=frozenset({"file"})), "pub")


def test_check_target_when_surface_has_no_messages() -> None:
    """The other surfaces are checked by the same rows."""
    quirks = Quirks(reject=frozenset({"dimensions", "suffix", "file"}))
    with pytest.raises(Unsupported, match="dimensions"):
        EMBEDDINGS.check_target(EMBEDDINGS.decode(b'{"model":"m","input":"x","dimensions":8}'), quirks, "m")
    COMPLETIONS.check_target(COMPLETIONS.decode(b'{"model":"m","prompt":"x"}'), quirks, "m")


def test_patch_answer_when_model_differs() -> None:
    """The answer tells the public name, and everything else keeps its bytes."""
    answer = b'{"id": "c", "model": "up", "x": 1.00, "choices": [{"model": "up"}]}'
    assert (
        CHAT.patch_answer(answer, "pub") == b'{"id":"c","model":"pub","x":1.00,"choices":[{"model": "up"}]}'
    )


@pytest.mark.parametrize("answer", [b'{ "model":"pub"}', b'{"id":"c"}', b'{"model":null}'])
def test_patch_answer_when_nothing_to_do(answer: bytes) -> None:
    """An answer with the right name, or none, is the upstream's own bytes."""
    assert CHAT.patch_answer(answer, "pub") is answer


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 3}, Usage(input=9, output=3)),
        ({"prompt_tokens": 9, "total_tokens": 9}, Usage(input=9)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
            Usage(input=9, cached_input=4, output=5, reasoning=2),
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": None,
                "prompt_tokens_details": {"cached_tokens": 40},
                "completion_tokens_details": None,
            },
            Usage(input=9, cached_input=9),
        ),
        (None, None),
        ({}, None),
        ("many", None),
        ({"prompt_tokens": -1, "completion_tokens": 3}, None),
        ({"prompt_tokens": 9, "completion_tokens": 3.5}, None),
        ({"prompt_tokens": "9"}, None),
    ],
)
def test_read_usage(usage: Any, read: Usage | None) -> None:
    """Counts are read where they can be believed, in the usual place and in a target's own."""
    assert CHAT.read_usage(json.dumps({"id": "c", "usage": usage}).encode()) == read
    assert CHAT.read_usage(json.dumps({"x": {"y": usage}}).encode(), path=("x", "y")) == read


def test_read_usage_when_untold() -> None:
    """An answer without usage has none; a path into nowhere finds none."""
    assert CHAT.read_usage(b"{}") is None
    assert CHAT.read_usage(b'{"x":1}', path=("x", "y")) is None


@pytest.mark.parametrize("answer", [b"<html>", b"", b"[]", b'"x"'])
def test_read_usage_when_answer_is_no_object(answer: bytes) -> None:
    """An answer that is no JSON object is the caller's to report."""
    with pytest.raises(ValueError, match=r"."):
        CHAT.read_usage(answer)
    with pytest.raises(ValueError, match=r"."):
        CHAT.patch_answer(answer, "pub")


def test_tools_are_narrowed_when_the_target_ignores_named_choices() -> None:
    """A named tool choice becomes a list of that tool alone, which must be called; `none` leaves no tools."""
    quirks = Quirks(narrow_tools=True)
    tools = [{"type": "function", "function": {"name": name}} for name in ("a", "b", "c")]
    base = {"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": tools}
    named = {"type": "function", "function": {"name": "b"}}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named, tools[2]]}}

    def sent(choice: object) -> dict[str, object]:
        call = CHAT.decode(json.dumps(base | {"tool_choice": choice}).encode())
        body: dict[str, object] = json.loads(CHAT.prepare(call, model="m", quirks=quirks))
        return {key: body.get(key) for key in ("tools", "tool_choice")}

    assert sent(named) == {"tools": [tools[1]], "tool_choice": "required"}
    assert sent(allowed) == {"tools": tools[1:], "tool_choice": "auto"}
    assert sent("none") == {"tools": None, "tool_choice": None}
    assert sent("auto") == {"tools": tools, "tool_choice": "auto"}


def test_custom_tools_are_refused_when_the_target_has_none() -> None:
    """The field and the model are named."""
    tool = {"type": "custom", "custom": {"name": "a"}}
    call = CHAT.decode(
        json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": [tool]}).encode()
    )
    with pytest.raises(Unsupported) as refused:
        CHAT.check_target(call, Quirks(reject=frozenset({"tools.custom"})), "demo")
    assert refused.value.param == "tools[0].type"
    assert "demo" in refused.value.message
