"""Fields that no reference names, for targets that may not get every one of them: the engine, and models with principles.

    {"messages": ..., "top_k": 5, "enable_x": true}  -->  {"messages": ..., "top_k": 5}      `enable_x` is told as dropped

Elsewhere they pass, for servers have fields of their own. llama-server has some that show the prompt, write another one, or give
more than is asked for and counted; another server's may do that to principles. A list of those would never be whole: so what
is not named here does not go there. `chat_template_kwargs` may set what templates know, and none of their input.
"""

from typing import Any, Final

import msgspec

from ingot import rawjson
from ingot.canonical import Loss
from ingot.dialects.chat_request import ChatRequest
from ingot.dialects.dialect import Call
from ingot.dialects.messages_request import MessagesRequest
from ingot.dialects.opaque import CompletionsRequest, EmbeddingsRequest
from ingot.dialects.outgoing import asks_nothing
from ingot.dialects.responses_request import ResponsesRequest
from ingot.errors import Unsupported

TEMPLATE: Final = "chat_template_kwargs"
SAMPLING: Final = frozenset(
    {
        "dry_allowed_length", "dry_base", "dry_multiplier", "dry_penalty_last_n", "dynatemp_exponent", "dynatemp_range",
        "ignore_eos", "min_p", "mirostat", "mirostat_eta", "mirostat_tau", "repeat_last_n", "repeat_penalty", "repetition_penalty",
        "top_k", "top_n_sigma", "typical_p", "xtc_probability", "xtc_threshold",
    }
)  # fmt: skip
"""How tokens are drawn: of llama.cpp, and of vLLM. They bound nothing, and show nothing."""
_TEMPLATE_KEYS: Final = frozenset({"enable_thinking", "reasoning_effort", "thinking"})
_NAMED: Final = {
    "chat": frozenset(ChatRequest.__struct_encode_fields__) | SAMPLING | {TEMPLATE},
    "completions": frozenset(CompletionsRequest.__struct_encode_fields__) | SAMPLING,
    "embeddings": frozenset(EmbeddingsRequest.__struct_encode_fields__),
    "messages": frozenset(MessagesRequest.__struct_encode_fields__) | {"context_management", "output_format"},
    "responses": frozenset(ResponsesRequest.__struct_encode_fields__),
}
"""By what a target must speak."""
_THOUGHTS: Final = "reasoning_content"
_REASON: Final = "the target gets no field that the reference does not name"


def only_named(call: Call, spoken: str, *, deployment: str) -> Call:
    """The call with nothing at its top level but what is named; what is left out is told. Raises Unsupported for the input of
    a template.
    """
    value = call.body.value
    named = _NAMED.get(spoken)
    if named is None or (value.keys() <= named and TEMPLATE not in value):
        return call
    _check_template(value.get(TEMPLATE), deployment=deployment)
    rest = [key for key in value if key not in named]
    if not rest:
        return call
    losses = [Loss(key, "dropped", _REASON) for key in rest if not asks_nothing(key, value[key])]
    body = rawjson.edited(call.body, replace={}, drop=rest)
    return msgspec.structs.replace(call, body=body, losses=(*call.losses, *losses))


def without_null_thoughts(call: Call) -> Call:
    """The call without the nulls that llama-server fails on: clients send an answer back with all of its fields."""
    messages = call.body.value.get("messages")
    if type(messages) is not list or not any(map(_has_null, messages)):
        return call
    told = [
        {name: held for name, held in each.items() if name != _THOUGHTS} if _has_null(each) else each
        for each in messages
    ]
    return msgspec.structs.replace(call, body=rawjson.edited(call.body, replace={"messages": told}))


def _has_null(message: Any) -> bool:
    return type(message) is dict and message.get(_THOUGHTS, "") is None


def _check_template(told: Any, *, deployment: str) -> None:
    if told is None:
        return
    if type(told) is not dict:
        raise Unsupported(
            f"'{TEMPLATE}' of the model '{deployment}' is an object. Send one, or leave it out.",
            param=TEMPLATE,
            code="unsupported_value",
        )
    for key, held in told.items():
        if key not in _TEMPLATE_KEYS or type(held) not in (bool, str):
            raise Unsupported(
                f"'{TEMPLATE}' of the model '{deployment}' takes {', '.join(sorted(_TEMPLATE_KEYS))} alone, each a boolean or a "
                "string. Leave out what else it holds.",
                param=f"{TEMPLATE}.{key}",
                code="unsupported_value",
            )
