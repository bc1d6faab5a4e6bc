"""What a target is sent, and what its plain answer becomes: only the top-level keys that we own change.

Decides how quirks apply, in the order of their verbs: reject, then rename, drop, set. Knows no wire format beyond
`model`, `stream_options` and the kinds of content parts. Nothing is dropped silently: what the configuration
declares to be without effect is told all the same.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from ingot import rawjson
from ingot.canonical import Loss, Losses
from ingot.catalog import Quirks
from ingot.dialects import demanded, gbnf
from ingot.dialects.dialect import Call, Image
from ingot.errors import InvalidRequest, Unsupported

# A field that holds this asks for nothing, so a target that lacks the field honours it.
_NEUTRAL: dict[str, Any] = {
    "n": 1,
    "best_of": 1,
    "stream": False,
    "logprobs": False,
    "store": False,
    "echo": False,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "logit_bias": {},
    "metadata": {},
    "tools": [],
    "verbosity": "medium",
}
STORED: Final = ("store", "metadata")
DROPPED: Final = "whoever runs this server leaves it out for the target"
_FORMS = ("json_schema", "json_object")
_NEUTRAL_TIERS = ("auto", "default")

_PARTS = ("image_url", "input_audio", "file")

_encode = msgspec.json.Encoder().encode


class _Named(msgspec.Struct):
    model: str | None = None


_named = msgspec.json.Decoder(_Named)
_any = msgspec.json.Decoder()


def check_target(call: Call, quirks: Quirks, deployment: str) -> None:
    """Raises ClientError for the first field or content part of the call that this target cannot honour."""
    if call.loose_pattern is not None and quirks.gbnf:
        raise call.loose_pattern
    if quirks.gbnf:
        _check_arguments(call.body.value, deployment=deployment)
    if quirks.gbnf and call.schemas:
        _check_grammar(call, deployment=deployment)
    if not quirks.reject:
        return
    value = call.body.value
    for key in value:
        if key in quirks.reject and not asks_nothing(key, value[key]):
            raise Unsupported(
                f"'{key}' is not supported by the model '{deployment}'. Leave it out, or choose another model.",
                param=key,
            )
    if "tools.custom" in quirks.reject:
        _check_tools(value, deployment=deployment)
    kinds = {
        kind for kind in _PARTS if kind in quirks.reject or f"messages[].content[].{kind}" in quirks.reject
    }
    if kinds:
        _check_parts(value, kinds, deployment=deployment)


def _check_arguments(value: dict[str, Any], *, deployment: str) -> None:
    """llama.cpp reads the arguments of earlier calls for its template, and fails at what is no JSON."""
    for row, message in enumerate(value.get("messages") or ()):
        for column, tool_call in enumerate(message.get("tool_calls") or ()):
            function = tool_call.get("function")
            arguments = function.get("arguments") if isinstance(function, dict) else None
            if not isinstance(arguments, str):
                continue
            try:
                _any.decode(arguments)
            except (ValueError, RecursionError) as error:
                where = f"messages[{row}].tool_calls[{column}].function.arguments"
                raise InvalidRequest(
                    f"Invalid value for '{where}': the model '{deployment}' reads the arguments of earlier calls, and these "
                    "are no valid JSON. Send a whole JSON object, or leave the call and its result out.",
                    param=where,
                    code="invalid_value",
                ) from error


def _check_grammar(call: Call, *, deployment: str) -> None:
    """What must be fit has to be held, and every pattern needs a form that llama.cpp reads."""
    for each in call.schemas:
        if each.demanded:
            gbnf.check_held(each.schema, each.field, deployment=deployment)
        gbnf.fitted(each.schema, each.field, deployment=deployment)


def dropped(call: Call, quirks: Quirks) -> Losses:
    """What the quirk `drop` takes from a client's request, where it asks for anything; what we keep goes to no target."""
    if not quirks.drop:
        return ()
    value = call.body.value
    kept = STORED if value.get("store") or (call.stamp and value.get("store") is not False) else ()
    return tuple(
        [
            Loss(key, "dropped", DROPPED)
            for key in value
            if key in quirks.drop and key not in kept and not asks_nothing(key, value[key])
        ]
    )


def asks_nothing(key: str, held: Any) -> bool:
    """Whether a target that lacks the field `key` honours what it holds all the same."""
    if key == "service_tier" and held in _NEUTRAL_TIERS:
        return True
    return held is None or (key in _NEUTRAL and held == _NEUTRAL[key])


def _check_tools(value: dict[str, Any], *, deployment: str) -> None:
    for index, tool in enumerate(value.get("tools") or ()):
        if tool.get("type") == "custom":
            raise Unsupported(
                f"The model '{deployment}' takes function tools only. Describe the tool as a function, or choose "
                "another model.",
                param=f"tools[{index}].type",
                code="unsupported_value",
            )


def _check_parts(value: dict[str, Any], kinds: set[str], *, deployment: str) -> None:
    for row, message in enumerate(value.get("messages", ())):
        content = message.get("content")
        for column, part in enumerate(content if isinstance(content, list) else ()):
            if part.get("type") in kinds:
                raise Unsupported(
                    f"The model '{deployment}' takes no content parts of type '{part['type']}'. "
                    "Leave it out, or choose another model.",
                    param=f"messages[{row}].content[{column}].type",
                    code="unsupported_value",
                )


def prepare(call: Call, *, model: str, quirks: Quirks, force_usage: bool = True) -> bytes:
    """The body for a target that calls the model `model`; the client's very bytes where nothing changes."""
    turned = demanded.by_schema(call, quirks)
    body = _grammatical(call) if quirks.gbnf and call.schemas and not turned else call.body
    replace, drop = edits(
        body.value,
        raw=lambda key: bytes(body.raw[key]),
        stream=call.stream,
        force_usage=force_usage and not call.wants_usage,
        quirks=quirks,
        form=demanded.response_format(_narrowed(body.value), deployment=call.model) if turned else None,
    )
    if model != call.model and "model" not in drop:
        replace.setdefault("model", _encode(model))
    if not replace and not drop:
        return body.data
    return rawjson.splice(body, replace=replace, drop=drop)


def _grammatical(call: Call) -> rawjson.Body:
    """The body with its schemas as llama.cpp reads them."""
    fitted = {
        each.place: gbnf.fitted(each.schema, each.field, deployment=call.model) for each in call.schemas
    }
    return rawjson.replaced(call.body, fitted)


def inline_images(call: Call, uris: Mapping[Image, str]) -> Call:
    """The call with data URIs in place of the URLs of these images."""
    body = rawjson.replaced(call.body, {image.place: uri for image, uri in uris.items()})
    return msgspec.structs.replace(call, body=body)


def edits(
    value: Mapping[str, Any],
    *,
    raw: Callable[[str], bytes],
    stream: bool,
    force_usage: bool,
    quirks: Quirks,
    form: Mapping[str, Any] | None = None,
) -> tuple[dict[str, bytes], set[str]]:
    """The top-level keys that a target needs otherwise, and those that it must not see; `raw` encodes one of `value`.

    `form` is the format of an answer that is asked for in place of a call.
    """
    replace: dict[str, bytes] = {}
    drop: set[str] = set()
    if stream:
        if not quirks.stream_options:
            drop.add("stream_options")
        elif force_usage:
            options = value.get("stream_options") or {}
            replace["stream_options"] = _encode({**options, "include_usage": True})
    if value.get("store"):
        # We keep the answer; a target's own store would be a second one that nobody reads. Metadata goes with it.
        drop.update(STORED)
    if quirks.narrow_tools and "tool_choice" in value:
        _narrow_tools(value, replace=replace, drop=drop)
    if form is not None:
        replace["response_format"] = _encode(form)
        replace.pop("tool_choice", None)
        drop.update(("tool_choice", "parallel_tool_calls"))
    if quirks.silent and (form is not None or _has_form(value)):
        replace["logit_bias"] = _encode({**(value.get("logit_bias") or {}), **_banned(quirks.silent)})
    if quirks.rename or quirks.drop or quirks.set:
        apply_quirks(quirks, value, raw=raw, replace=replace, drop=drop)
    return replace, drop


def _has_form(value: Mapping[str, Any]) -> bool:
    """Whether a grammar holds the whole answer."""
    form = value.get("response_format")
    return isinstance(form, dict) and form.get("type") in _FORMS


def _banned(tokens: tuple[int, ...]) -> dict[str, bool]:
    """Biases that keep tokens out of an answer, whatever their likelihood.

    llama.cpp's grammar takes a control token for the characters of its name, so that `<|im_start|>` is a string of twelve;
    the answer shows nothing in its place, and a text that had to be there is missing.
    """
    return dict.fromkeys(map(str, tokens), False)


def _narrow_tools(value: Mapping[str, Any], *, replace: dict[str, bytes], drop: set[str]) -> None:
    """Says by the list of tools what the target would not read from `tool_choice`."""
    choice = value["tool_choice"]
    if choice == "none":
        drop.update(("tools", "tool_choice"))
    if isinstance(choice, dict):
        replace["tools"] = _encode(_narrowed(value))
        replace["tool_choice"] = _encode("required" if demanded.is_demanded(value) else "auto")


def _narrowed(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tools that `tool_choice` leaves."""
    choice, tools = value["tool_choice"], value.get("tools") or []
    if not isinstance(choice, dict):
        return list(tools)
    allowed = choice.get("allowed_tools")
    names = {_tool_name(tool) for tool in (allowed["tools"] if allowed else [choice])}
    return [tool for tool in tools if _tool_name(tool) in names]


def _tool_name(tool: dict[str, Any]) -> Any:
    return tool.get(tool.get("type", "function"), {}).get("name")


def apply_quirks(
    quirks: Quirks,
    value: Mapping[str, Any],
    *,
    raw: Callable[[str], bytes],
    replace: dict[str, bytes],
    drop: set[str],
) -> None:
    """Adds what renames, drops and fixed values make of top-level keys; `raw` encodes one of `value`."""
    for old, new in quirks.rename.items():
        if old not in value:
            continue
        # An unset field must not overwrite what the client gave under the target's own name.
        if value[old] is not None or new not in value:
            replace[new] = raw(old)
        replace.pop(old, None)
        drop.add(old)
    for key in quirks.drop:
        replace.pop(key, None)
        drop.add(key)
    for key, fixed in quirks.set.items():
        replace[key] = _encode(fixed)


def patch_answer(answer: bytes, model: str) -> bytes:
    """The answer with `model` at its top level; raises ValueError where the answer is no JSON object."""
    named = _named.decode(answer)
    if named.model is None or named.model == model:
        return answer
    return rawjson.splice_bytes(answer, replace={"model": _encode(model)})
