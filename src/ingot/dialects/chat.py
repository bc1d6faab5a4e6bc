"""The chat completions dialect: what a request must be before anything is spent on it.

Rules on single fields are rows in `chat_request`, those on schemas in `schemas`; here stand the rules between fields.
Unknown fields pass through untouched, for upstreams have their own (`top_k`, `chat_template_kwargs`, ...).
Decides nothing about deployments, targets or money. Source: contract §2.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec

from ingot import rawjson
from ingot.dialects.attached import attach, files_of_chat, in_openai, split
from ingot.dialects.bounds import check_grammar, judge_schemas
from ingot.dialects.chat_request import (
    AllowedChoice,
    ChatRequest,
    CustomChoice,
    CustomTool,
    FunctionChoice,
    FunctionTool,
    GrammarFormat,
    ImagePart,
    JsonSchemaFormat,
    Messages,
    Named,
    UserMessage,
)
from ingot.dialects.complaint import complain
from ingot.dialects.constitution import preface
from ingot.dialects.dialect import Call, Dialect, Image, Schema
from ingot.dialects.envelope import USUAL, encode_error, error_event
from ingot.dialects.outgoing import check_target, inline_images, patch_answer, prepare
from ingot.dialects.turning import TAPS, turn_back, turn_of
from ingot.dialects.usage import read_id, read_usage
from ingot.errors import InvalidRequest
from ingot.sse import DONE, encode_event


def decode(data: bytes) -> Call:
    """The request, checked; raises InvalidRequest that names the field and what would be right (6 us for 300 bytes)."""
    body = rawjson.parse(data)
    value = body.value
    try:
        request = msgspec.convert(value, ChatRequest)
    except msgspec.ValidationError as error:
        raise complain(error, value, ChatRequest) from error
    options = request.stream_options
    if options is not None and not request.stream:
        raise streamless(value)
    if request.top_logprobs is not None and not request.logprobs:
        raise InvalidRequest(
            "'top_logprobs' needs 'logprobs': true. Set it, or leave 'top_logprobs' out.",
            param="top_logprobs",
        )
    if request.modalities and "audio" in request.modalities and request.audio is None:
        raise InvalidRequest(
            "Missing required parameter: 'audio'. It says the format and voice that the modality 'audio' needs.",
            param="audio",
            code="missing_required_parameter",
        )
    if request.tool_choice:
        _check_choice(request)
    schemas: tuple[Schema, ...] = ()
    if request.tools or request.functions or request.response_format:
        schemas = tuple(_schemas(request))
        _check_grammars(request)
    most = request.max_completion_tokens
    files, documents = split(files_of_chat(request.messages))
    return Call(
        model=request.model,
        body=body,
        stream=request.stream is True,
        wants_usage=options is not None and options.include_usage is True,
        n=request.n or 1,
        max_tokens=request.max_tokens if most is None else most,
        images=tuple(_images(request.messages)),
        files=files,
        documents=documents,
        schemas=schemas,
        loose_pattern=judge_schemas(schemas),
    )


def _images(messages: Messages) -> Iterator[Image]:
    """The images of all user messages; nobody else may show any."""
    for row, message in enumerate(messages):
        if type(message) is UserMessage and type(message.content) is list:
            for column, part in enumerate(message.content):
                if type(part) is ImagePart:
                    place = ("messages", row, "content", column, "image_url", "url")
                    yield Image(place, part.image_url.url)


def streamless(value: dict[str, Any]) -> InvalidRequest:
    """The refusal of `stream_options` on a request that is not streamed."""
    now = "false" if value.get("stream") is False else "not set"
    return InvalidRequest(
        f"'stream_options' is only allowed with 'stream': true, and 'stream' is {now}.",
        param="stream_options",
    )


def _check_choice(request: ChatRequest) -> None:
    """A call that is demanded must be possible."""
    choice = request.tool_choice
    if choice in ("none", "auto"):
        return
    if not request.tools:
        raise InvalidRequest(
            "'tool_choice' demands a tool, and 'tools' names none. Add 'tools', or set 'tool_choice' to 'none'.",
            param="tool_choice",
        )
    names = {tool.function.name for tool in request.tools if isinstance(tool, FunctionTool)}
    customs = {tool.custom.name for tool in request.tools if isinstance(tool, CustomTool)}
    match choice:
        case FunctionChoice(function=Named(name=name)) if name not in names:
            where = "tool_choice.function.name"
        case CustomChoice(custom=Named(name=name)) if name not in customs:
            where = "tool_choice.custom.name"
        case AllowedChoice(allowed_tools=allowed) if not allowed.tools:
            raise InvalidRequest(
                "'tool_choice.allowed_tools.tools' is empty: name at least one tool.",
                param="tool_choice.allowed_tools.tools",
                code="empty_array",
            )
        case _:
            return
    raise InvalidRequest(
        f"'tool_choice' names the tool '{rawjson.clip(name)}', which is not in 'tools'.", param=where
    )


def _check_grammars(request: ChatRequest) -> None:
    for index, tool in enumerate(request.tools or ()):
        if isinstance(tool, CustomTool) and isinstance(tool.custom.format, GrammarFormat):
            where = f"tools[{index}].custom.format.grammar.definition"
            check_grammar(tool.custom.format.grammar.definition, where)


def _schemas(request: ChatRequest) -> Iterator[Schema]:
    """Each schema of a request: demanded are the answer's, a strict tool's, and that of a call which must be made."""
    choice = request.tool_choice
    for index, tool in enumerate(request.tools or ()):
        if isinstance(tool, FunctionTool) and tool.function.parameters:
            place = ("tools", index, "function", "parameters")
            demanded = tool.function.strict is True or _demands(choice, tool.function.name)
            yield Schema(place, tool.function.parameters, demanded)
    for index, function in enumerate(request.functions or ()):
        if function.parameters:
            yield Schema(("functions", index, "parameters"), function.parameters, function.strict is True)
    form = request.response_format
    if isinstance(form, JsonSchemaFormat) and form.json_schema.schema:
        yield Schema(("response_format", "json_schema", "schema"), form.json_schema.schema, demanded=True)


def _demands(choice: object, name: str) -> bool:
    """Whether a call is demanded that may be one of this tool."""
    if isinstance(choice, FunctionChoice):
        return choice.function.name == name
    return choice == "required" or (
        isinstance(choice, AllowedChoice) and choice.allowed_tools.mode == "required"
    )


CHAT = Dialect(
    name="chat",
    path="/chat/completions",
    decode=decode,
    check_target=check_target,
    prepare=prepare,
    inline_images=inline_images,
    attach=partial(attach, shape=in_openai),
    read_usage=read_usage,
    read_id=read_id,
    preface=preface,
    turn_of=turn_of,
    turn_back=turn_back,
    patch_answer=patch_answer,
    tap=TAPS,
    encode_error=partial(encode_error, table=USUAL),
    error_event=partial(error_event, table=USUAL),
    end_event=encode_event(DONE),
)
