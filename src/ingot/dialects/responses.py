"""The responses dialect: what a request must be before anything is spent on it, and how a target that speaks it is asked.

Rules on single fields are rows in `responses_request`, those on items in `responses_items`; here stand the rules between
fields. Unknown fields, and items and tools of types that only a target knows, pass through untouched. State is ours, and
no target's: one is told to store nothing. Decides nothing about deployments, targets or money. Source: contract §3.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from ingot import rawjson
from ingot.catalog import Quirks
from ingot.dialects.account_ids import refuse_in_responses
from ingot.dialects.attached import attach, files_of_responses, in_openai, split
from ingot.dialects.bounds import check_grammar, judge_schemas
from ingot.dialects.chat import streamless
from ingot.dialects.complaint import complain
from ingot.dialects.dialect import Call, Dialect, Schema
from ingot.dialects.envelope import USUAL, encode_error
from ingot.dialects.outgoing import apply_quirks, asks_nothing, inline_images, patch_answer
from ingot.dialects.responses_compact import compacted, summarizing
from ingot.dialects.responses_constitution import TAPS, preface, turn_back
from ingot.dialects.responses_errors import error_event
from ingot.dialects.responses_items import check_items, check_row, check_tool, images_of, kind_of, parts_of
from ingot.dialects.responses_request import (
    AllowedTools,
    Asked,
    CompactRequest,
    CustomTool,
    FunctionTool,
    Grammar,
    JsonSchemaFormat,
    Named,
    ResponsesRequest,
)
from ingot.dialects.responses_stamp import stamp_answer
from ingot.dialects.responses_state import for_target, own_place
from ingot.dialects.responses_usage import read_usage
from ingot.dialects.turning import refused_by
from ingot.dialects.usage import read_count, read_id
from ingot.errors import InvalidRequest, Unsupported

Json = dict[str, Any]
Row = TypeVar("Row", bound=Asked)

_LOCAL: Final = ("function", "custom")
# Where one of these is given, there may be nothing new to say.
_INSTEAD: Final = ("previous_response_id", "conversation", "prompt")
# The words by which quirks call the kinds of parts that a target may refuse.
_REFUSABLE: Final = {"input_image": ("input_image", "image_url"), "input_file": ("input_file", "file")}
# Without these a request is not the one that was asked, so that no translation may leave them out.
_ESSENTIAL: Final = ("prompt", "max_tool_calls", "context_management", "moderation")

_encode = msgspec.json.Encoder().encode


def decode(data: bytes) -> Call:
    """The request, checked; raises InvalidRequest that names the field and what would be right."""
    body = rawjson.parse(data)
    request = _read(body.value, ResponsesRequest)
    if request.stream_options is not None and not request.stream:
        raise streamless(body.value)
    return msgspec.structs.replace(
        _checked(body, request), stream=request.stream is True, max_tokens=request.max_output_tokens
    )


def decode_count(data: bytes) -> Call:
    """A request to count the tokens of an input, checked by the same rules."""
    body = rawjson.parse(data)
    return msgspec.structs.replace(_checked(body, _read(body.value, Asked)), max_tokens=0)


def decode_compact(data: bytes) -> Call:
    """A request to compact a conversation, checked by the same rules."""
    body = rawjson.parse(data)
    request = _read(body.value, CompactRequest)
    for field in ("stream", "image"):
        if body.value.get(field):
            raise Unsupported(f"'{field}' is not supported here. Leave it out.", param=field)
    return _checked(body, request)


def _read(value: Json, row: type[Row]) -> Row:
    try:
        return msgspec.convert(value, row)
    except msgspec.ValidationError as error:
        raise complain(error, value, row) from error


def _checked(body: rawjson.Body, request: Asked) -> Call:
    """The call of a request whose single fields are right."""
    if request.conversation is not None and request.previous_response_id is not None:
        raise InvalidRequest(
            "'previous_response_id' and 'conversation' exclude each other: both say what came before. Send one of them.",
            param="previous_response_id",
            code="mutually_exclusive_parameters",
        )
    if not request.input and not any(body.value.get(name) is not None for name in _INSTEAD):
        raise InvalidRequest(
            "Missing required parameter: 'input'. It must be a string or an array of items, unless "
            "'previous_response_id', 'conversation' or 'prompt' is given.",
            param="input",
            code="missing_required_parameter",
        )
    items = request.input if isinstance(request.input, list) else []
    check_items(items)
    tools = _check_tools(request)
    if request.tool_choice is not None:
        _check_choice(request.tool_choice, tools)
    judge_schemas(_schemas(request, tools))
    files, documents = split(files_of_responses(items, tools))
    return Call(
        model=request.model,
        body=body,
        wants_usage=True,
        images=tuple(images_of(items)),
        files=files,
        documents=documents,
    )


# ---- tools


def _check_tools(request: Asked) -> list[Json]:
    tools = request.tools or []
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        if check_tool(tool, where) == "custom":
            form = msgspec.convert(tool, CustomTool).format
            if isinstance(form, Grammar):
                check_grammar(form.definition, f"{where}.format.definition")
    return tools


def _check_choice(choice: str | Json, tools: list[Json]) -> None:
    """A call that is demanded must be possible."""
    if choice in ("none", "auto"):
        return
    if not tools:
        raise InvalidRequest(
            "'tool_choice' demands a tool, and 'tools' names none. Add 'tools', or set 'tool_choice' to 'none'.",
            param="tool_choice",
        )
    if isinstance(choice, str):
        return
    kind = choice.get("type")
    if type(kind) is not str:
        raise InvalidRequest(
            "Missing required parameter: 'tool_choice.type'. It must be the type of a tool, or 'allowed_tools'.",
            param="tool_choice.type",
            code="missing_required_parameter",
        )
    if kind == "allowed_tools":
        check_row(choice, AllowedTools, "tool_choice")
        for index, named in enumerate(choice["tools"]):
            _check_named(named, tools, f"tool_choice.tools[{index}]")
    else:
        _check_named(choice, tools, "tool_choice")


def _check_named(named: Json, tools: list[Json], where: str) -> None:
    """A tool that is named is there; one that a target runs is named by its type, and the target knows which."""
    kind = named.get("type")
    if kind not in _LOCAL:
        return
    check_row(named, Named, where)
    if not any(tool["type"] == kind and tool["name"] == named["name"] for tool in tools):
        raise InvalidRequest(
            f"'{where}' names the tool '{rawjson.clip(named['name'])}', which is not in 'tools'.",
            param=f"{where}.name",
        )


def _schemas(request: Asked, tools: list[Json]) -> Iterator[Schema]:
    """Each schema of a request: demanded are the answer's, a strict tool's, and that of a call which must be made."""
    for index, tool in enumerate(tools):
        if tool["type"] == "function":
            function = msgspec.convert(tool, FunctionTool)
            if function.parameters:
                demanded = function.strict is True or _demands(request.tool_choice, function.name)
                yield Schema(("tools", index, "parameters"), function.parameters, demanded)
    form = None if request.text is None else request.text.format
    if isinstance(form, JsonSchemaFormat) and form.schema:
        yield Schema(("text", "format", "schema"), form.schema, demanded=True)


def _demands(choice: object, name: str) -> bool:
    """Whether a call is demanded that may be one of this tool."""
    if isinstance(choice, dict):
        if choice.get("type") == "allowed_tools":
            return bool(choice.get("mode") == "required")
        return bool(choice.get("name") == name)
    return choice == "required"


# ---- targets


def check_target(call: Call, quirks: Quirks, deployment: str) -> None:
    """Raises ClientError for the first field, part or tool of the call that this target cannot honour."""
    reject = quirks.reject
    if not reject:
        return
    value = call.body.value
    for key in value:
        if key in reject and not asks_nothing(key, value[key]):
            raise Unsupported(
                f"'{key}' is not supported by the model '{deployment}'. Leave it out, or choose another model.",
                param=key,
            )
    if "tools.custom" in reject:
        _refuse_tools(value, lambda kind: kind == "custom", deployment)
    kinds = {kind for kind, names in _REFUSABLE.items() if not reject.isdisjoint(names)}
    for index, item in enumerate(value["input"] if type(value.get("input")) is list else ()):
        for (name, place), part in parts_of(item):
            if part.get("type") in kinds:
                raise Unsupported(
                    f"The model '{deployment}' takes no content parts of type '{part['type']}'. Leave it out, or choose "
                    "another model.",
                    param=f"input[{index}].{name}[{place}].type",
                    code="unsupported_value",
                )


def check_translated(call: Call, deployment: str) -> None:
    """Raises Unsupported for what only a target of this dialect can do."""
    value = call.body.value
    _refuse_tools(value, lambda kind: kind not in _LOCAL, deployment)
    for name in _ESSENTIAL:
        if value.get(name) is not None:
            raise Unsupported(
                f"'{name}' is not supported by the model '{deployment}', whose targets run no tools and keep no prompts of "
                "their own. Leave it out, or choose another model.",
                param=name,
            )
    for index, item in enumerate(value["input"] if type(value.get("input")) is list else ()):
        where = f"input[{index}]"
        if kind_of(item, where) == "compaction":
            raise Unsupported(
                f"The compaction at '{where}' was sealed by a target that speaks responses, and the model '{deployment}' has "
                "none that could open it. Send the conversation itself, or choose the model that made it.",
                param=where,
                code="unsupported_value",
            )


def _refuse_tools(value: Json, refused: Any, deployment: str) -> None:
    for index, tool in enumerate(value.get("tools") or ()):
        if refused(tool["type"]):
            raise Unsupported(
                f"The model '{deployment}' takes no tools of the type '{rawjson.clip(tool['type'])}'. Leave it out, or choose "
                "another model.",
                param=f"tools[{index}].type",
                code="unsupported_value",
            )


def prepare(call: Call, *, model: str, quirks: Quirks, force_usage: bool = True) -> bytes:  # noqa: ARG001  # usage always comes
    """The body for a target that calls the model `model`; it keeps no state, for that is kept here."""
    value = call.body.value
    replaced: dict[str, bytes] = {}
    dropped: set[str] = set()
    if model != call.model:
        replaced["model"] = _encode(model)
    if call.stamp is not None and value.get("store") is not False:
        replaced["store"] = b"false"
        # Only what is stored can be found by it.
        dropped.add("metadata")
    if not quirks.stream_options:
        dropped.add("stream_options")
    apply_quirks(
        quirks,
        value,
        raw=lambda key: bytes(call.body.raw[key]),
        replace=replaced,
        drop=dropped,
    )
    if not replaced and not dropped & value.keys():
        return call.body.data
    return rawjson.splice(call.body, replace=replaced, drop=dropped)


RESPONSES = Dialect(
    name="responses",
    path="/responses",
    decode=decode,
    check_target=check_target,
    prepare=prepare,
    inline_images=inline_images,
    attach=partial(attach, shape=in_openai),
    read_usage=read_usage,
    read_id=read_id,
    preface=preface,
    turn_of=refused_by,
    turn_back=turn_back,
    patch_answer=patch_answer,
    tap=TAPS,
    encode_error=partial(encode_error, table=USUAL),
    error_event=error_event,
    end_event=b"",
    stamp_answer=stamp_answer,
    for_target=for_target,
    own_place=own_place,
    check_translated=check_translated,
    refuse_account_ids=refuse_in_responses,
)

INPUT_TOKENS = replace(
    RESPONSES,
    name="input_tokens",
    path="/responses/input_tokens",
    decode=decode_count,
    read_usage=read_count,
    stamp_answer=None,
    spoken="responses",
)

COMPACT = replace(
    RESPONSES,
    name="compact",
    decode=decode_compact,
    stamp_answer=compacted,
    recast=summarizing,
    spoken="responses",
    called="/responses/compact",
    tongue="responses",
)
