"""The messages dialect: what a request must be before anything is spent on it, and what headers add to it.

Rules on single fields are rows in `messages_request`; here stand the rules between fields, between turns, and those of the
newer version of the API. Unknown fields pass through untouched. Decides nothing about deployments, targets or money.
Source: contract §6.

    2023-06-01   sampling fields are taken; what is meant where a client names no version
    2026-10-21   no sampling fields, no documents in an assistant's turn, no citations in a user's
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any, TypeVar

import msgspec

from ingot import rawjson
from ingot.catalog import Quirks
from ingot.dialects.account_ids import refuse_in_messages
from ingot.dialects.attached import attach, files_of_messages, in_messages, servers_of_messages, split
from ingot.dialects.bounds import judge_schemas
from ingot.dialects.complaint import complain
from ingot.dialects.dialect import Call, Dialect, Schema
from ingot.dialects.envelope import USUAL
from ingot.dialects.messages_constitution import TAPS, preface, turn_back
from ingot.dialects.messages_errors import dotted, encoder, error_event, refusal, restyle
from ingot.dialects.messages_images import images_of, inline_images
from ingot.dialects.messages_request import (
    AnyChoice,
    Block,
    CountRequest,
    Message,
    MessagesRequest,
    SystemMessage,
    ThinkingEnabled,
    ToolChoice,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
)
from ingot.dialects.messages_thoughts import for_target
from ingot.dialects.messages_usage import read_usage
from ingot.dialects.outgoing import apply_quirks, asks_nothing, patch_answer
from ingot.dialects.turning import refused_by
from ingot.dialects.usage import read_count, read_id
from ingot.errors import InvalidRequest, Unsupported
from ingot.sse import encode_event

OLDER, NEWER = "2023-06-01", "2026-10-21"
VERSIONS = (NEWER, OLDER)

PASSED = ("anthropic-version", "anthropic-beta")
"""The headers of a client that a target gets; no other one leaves."""

Row = TypeVar("Row", bound=CountRequest)

_BETAS = re.compile(rb"[A-Za-z0-9._-]{1,100}([ \t]*,[ \t]*[A-Za-z0-9._-]{1,100}){0,31}")
_SAMPLING = ("temperature", "top_p", "top_k")

_encode = msgspec.json.Encoder().encode


def decode(data: bytes) -> Call:
    """The request, checked; raises InvalidRequest that names the field and what would be right."""
    body = rawjson.parse(data)
    request = _read(body.value, MessagesRequest)
    # Before what is said of the turns: a client continues a thread without those that it thinks are kept.
    if request.thread is not None:
        raise InvalidRequest(
            "thread: Conversations are not kept here between requests. Send all messages, without 'thread'.",
            param="thread",
            code="thread_unsupported_request",
        )
    _check(request)
    thinking = request.thinking
    # With tools, thinking goes on between their calls, and a budget is for all of it.
    if (
        isinstance(thinking, ThinkingEnabled)
        and not request.tools
        and 0 < request.max_tokens <= thinking.budget_tokens
    ):
        raise refusal(
            "thinking.budget_tokens",
            f"Must be less than 'max_tokens', which is {request.max_tokens}, but got {thinking.budget_tokens}.",
        )
    files, documents = split([*files_of_messages(request), *servers_of_messages(request)])
    return Call(
        model=request.model,
        body=body,
        stream=request.stream is True,
        wants_usage=True,
        max_tokens=request.max_tokens,
        images=tuple(images_of(request)),
        files=files,
        documents=documents,
    )


def decode_count(data: bytes) -> Call:
    """A request to count tokens, checked by the same rules."""
    body = rawjson.parse(data)
    request = _read(body.value, CountRequest)
    _check(request)
    files, documents = split([*files_of_messages(request), *servers_of_messages(request)])
    return Call(
        model=request.model,
        body=body,
        max_tokens=0,
        images=tuple(images_of(request)),
        files=files,
        documents=documents,
    )


def _read(value: dict[str, Any], row: type[Row]) -> Row:
    try:
        return msgspec.convert(value, row)
    except msgspec.ValidationError as error:
        raise restyle(complain(error, value, row)) from error


def _check(request: CountRequest) -> None:
    """The rules between fields and between turns."""
    if all(isinstance(message, SystemMessage) for message in request.messages):
        raise refusal("messages", "Expected at least one message of the role 'user' or 'assistant'.")
    _check_tools(request)
    _check_pairs(request)
    if request.tools or request.output_config:
        try:
            judge_schemas(_schemas(request))
        except InvalidRequest as error:
            raise restyle(error) from error


def _check_tools(request: CountRequest) -> None:
    """A client's tool has a name and a schema, no name is given twice, and a call that is demanded is possible."""
    names: set[str] = set()
    for index, tool in enumerate(request.tools or ()):
        for field in ("name", "input_schema") if tool.custom else ():
            if getattr(tool, field) is msgspec.UNSET:
                kind = "a non-empty string" if field == "name" else "an object"
                raise refusal(
                    f"tools[{index}].{field}",
                    f"Field required. It must be {kind}.",
                    code="missing_required_parameter",
                )
        if isinstance(tool.name, str):
            if tool.name in names:
                raise refusal(
                    f"tools[{index}].name",
                    f"The name '{rawjson.clip(tool.name)}' is given twice; give it once.",
                )
            names.add(tool.name)
    choice = request.tool_choice
    if isinstance(choice, AnyChoice | ToolChoice) and not request.tools:
        raise refusal("tool_choice", "Demands a tool, and 'tools' names none. Add 'tools', or leave it out.")
    if isinstance(choice, ToolChoice) and choice.name not in names and names:
        raise refusal(
            "tool_choice.name", f"Names the tool '{rawjson.clip(choice.name)}', which is not in 'tools'."
        )


def _check_pairs(request: CountRequest) -> None:
    """Each result answers a call of the turn before it, and each call is answered in the turn after it, if there is one."""
    seen: set[str] = set()
    asked: dict[str, str] = {}
    for role, blocks in _turns(request):
        if role is UserMessage:
            _check_results(blocks, asked)
            asked = {}
            continue
        for where, block in blocks:
            if isinstance(block, ToolUseBlock):
                if block.id in seen:
                    raise refusal(
                        f"{where}.id", "Ids of 'tool_use' blocks must be unique; this one was used before."
                    )
                seen.add(block.id)
                asked[block.id] = where


def _turns(request: CountRequest) -> Iterator[tuple[type[Message], list[tuple[str, Block]]]]:
    """The blocks of each turn with their places.

    Neighbours of one role are one turn; messages of the role `system` stand between turns and belong to none.
    """
    spoken = [each for each in enumerate(request.messages) if not isinstance(each[1], SystemMessage)]
    for role, run in groupby(spoken, lambda each: type(each[1])):
        yield (
            role,
            [
                (f"messages[{index}].content[{place}]", block)
                for index, message in run
                if not isinstance(message.content, str)
                for place, block in enumerate(message.content)
            ],
        )


def _check_results(blocks: Iterable[tuple[str, Block]], asked: Mapping[str, str]) -> None:
    answered: set[str] = set()
    for where, block in blocks:
        if not isinstance(block, ToolResultBlock):
            continue
        id_ = block.tool_use_id
        if id_ not in asked:
            raise refusal(
                f"{where}.tool_use_id",
                f"No 'tool_use' block of the turn before has the id '{rawjson.clip(id_)}'. Each 'tool_result' block "
                "answers one there.",
            )
        if id_ in answered:
            raise refusal(
                f"{where}.tool_use_id", "This 'tool_use' block has a 'tool_result' already; give one."
            )
        answered.add(id_)
    for id_, where in asked.items():
        if id_ not in answered:
            raise refusal(
                where,
                f"The 'tool_use' block with the id '{rawjson.clip(id_)}' has no 'tool_result' block in the turn "
                "after it. Add one.",
            )


def _schemas(request: CountRequest) -> Iterator[Schema]:
    """Each schema of a request: demanded are the answer's, a strict tool's, and that of a call which must be made."""
    choice = request.tool_choice
    for index, tool in enumerate(request.tools or ()):
        if tool.input_schema:
            called = isinstance(choice, AnyChoice) or (
                isinstance(choice, ToolChoice) and choice.name == tool.name
            )
            place = ("tools", index, "input_schema")
            yield Schema(place, tool.input_schema, tool.strict is True or called)
    config = request.output_config
    if config is not None and config.format is not None:
        yield Schema(("output_config", "format", "schema"), config.format.schema, demanded=True)


# ---- headers and versions


def take_headers(call: Call, headers: Mapping[bytes, bytes]) -> Call:
    """The call with the headers of `PASSED`; raises InvalidRequest for what the version that it names does not have."""
    version = headers.get(b"anthropic-version", OLDER.encode()).strip().decode("latin-1")
    if version not in VERSIONS:
        raise refusal(
            "anthropic-version",
            f"'{rawjson.clip(version)}' is no version that is served. Send {NEWER} or {OLDER}.",
        )
    if version == NEWER:
        _check_newer(call.body.value)
    return _with_headers(call, version, headers)


def take_any_version(call: Call, headers: Mapping[bytes, bytes]) -> Call:
    """`take_headers` without a look at the version: the older one is meant, which takes more."""
    return _with_headers(call, OLDER, headers)


def _with_headers(call: Call, version: str, headers: Mapping[bytes, bytes]) -> Call:
    passed: tuple[tuple[str, str], ...] = (("anthropic-version", version),)
    betas = headers.get(b"anthropic-beta", b"").strip()
    if betas:
        if not _BETAS.fullmatch(betas):
            raise refusal(
                "anthropic-beta",
                "Expected at most 32 names of letters, digits and . _ - with commas between.",
            )
        passed = (*passed, ("anthropic-beta", betas.decode("ascii")))
    return msgspec.structs.replace(call, headers=passed)


def _check_newer(value: dict[str, Any]) -> None:
    """What version 2026-10-21 took away."""
    for field in _SAMPLING:
        if field in value:
            raise refusal(
                field,
                f"Extra inputs are not permitted: version {NEWER} has no sampling fields. Leave it out, or send "
                f"'anthropic-version: {OLDER}'.",
                code="unsupported_parameter",
            )
    for index, message in enumerate(value["messages"]):
        content = message["content"]
        for place, block in enumerate(content if isinstance(content, list) else ()):
            where = f"messages[{index}].content[{place}]"
            if message["role"] == "assistant" and block["type"] == "document":
                raise refusal(
                    f"{where}.type",
                    f"Version {NEWER} takes no 'document' block in a message of the role 'assistant'. Move it to one of "
                    "the role 'user'.",
                    code="unsupported_value",
                )
            if message["role"] == "user" and block["type"] == "text" and block.get("citations"):
                raise refusal(
                    f"{where}.citations",
                    f"Version {NEWER} takes no citations in a message of the role 'user'. Leave them out.",
                    code="unsupported_parameter",
                )


# ---- targets


def check_target(call: Call, quirks: Quirks, deployment: str) -> None:
    """Raises Unsupported for the first field or block of the call that this target cannot honour."""
    reject = quirks.reject
    if not reject:
        return
    value = call.body.value
    for key in value:
        if key in reject and not asks_nothing(key, value[key]):
            raise Unsupported(
                f"{key}: Not supported by the model '{deployment}'. Leave it out, or choose another model.",
                param=key,
            )
    for where, block in _blocks(value):
        if block["type"] in reject:
            raise Unsupported(
                f"{dotted(where)}: The model '{deployment}' takes no blocks of the type '{block['type']}'. Leave it out, or "
                "choose another model.",
                param=where,
                code="unsupported_value",
            )


def _blocks(value: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """All blocks of a checked request with their places, those inside of a tool's result too."""
    for index, message in enumerate(value["messages"]):
        content = message["content"]
        for place, block in enumerate(content if isinstance(content, list) else ()):
            where = f"messages[{index}].content[{place}]"
            yield where, block
            inner = block.get("content") if block["type"] == "tool_result" else None
            for row, each in enumerate(inner if isinstance(inner, list) else ()):
                yield f"{where}.content[{row}]", each


def prepare(call: Call, *, model: str, quirks: Quirks, force_usage: bool = True) -> bytes:  # noqa: ARG001  # usage always comes
    """The body for a target that calls the model `model`; the client's very bytes where nothing changes."""
    replaced: dict[str, bytes] = {}
    dropped: set[str] = set()
    if model != call.model:
        replaced["model"] = _encode(model)
    apply_quirks(
        quirks,
        call.body.value,
        raw=lambda key: bytes(call.body.raw[key]),
        replace=replaced,
        drop=dropped,
    )
    if not replaced and not dropped:
        return call.body.data
    return rawjson.splice(call.body, replace=replaced, drop=dropped)


MESSAGES = Dialect(
    name="messages",
    path="/messages",
    decode=decode,
    check_target=check_target,
    prepare=prepare,
    inline_images=inline_images,
    attach=partial(attach, shape=in_messages),
    read_usage=read_usage,
    read_id=read_id,
    preface=preface,
    turn_of=refused_by,
    turn_back=turn_back,
    patch_answer=patch_answer,
    tap=TAPS,
    encode_error=encoder(USUAL),
    error_event=error_event,
    end_event=encode_event(b'{"type":"message_stop"}', b"message_stop"),
    encoder=encoder,
    take_headers=take_headers,
    key_header="x-api-key",
    id_header="request-id",
    for_target=for_target,
    refuse_account_ids=refuse_in_messages,
)

COUNT_TOKENS = replace(
    MESSAGES,
    name="count_tokens",
    path="/messages/count_tokens",
    decode=decode_count,
    read_usage=read_count,
    spoken="messages",
)
