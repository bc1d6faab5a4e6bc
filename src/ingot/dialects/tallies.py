"""Counts of tokens, as targets are asked for them and as clients are told: which members of a request count, and where.

    messages     /messages/count_tokens                  Anthropic's
    responses    /responses/input_tokens                 OpenAI's
    chat         /chat/completions/input_tokens          llama.cpp's, of a whole request
                 /tokenize, of messages                  vLLM's, below the target's root
                 /apply-template, /tokenize of a text    older llama.cpp's, there as well

Decides what is asked and how an answer is read. Refuses to know who is asked, and what follows where nobody can tell.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

MESSAGES: Final = "/messages/count_tokens"
RESPONSES: Final = "/responses/input_tokens"
CHAT: Final = "/chat/completions/input_tokens"
TOKENIZE: Final = "/tokenize"
TEMPLATE: Final = "/apply-template"

# What else a request says is no part of its prompt, and servers refuse it there.
_KEPT: Final = {
    MESSAGES: frozenset(
        {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control"}
    ),
    RESPONSES: frozenset(
        {
            "model",
            "input",
            "instructions",
            "tools",
            "tool_choice",
            "text",
            "reasoning",
            "parallel_tool_calls",
            "truncation",
        }
    ),
    TOKENIZE: frozenset({"model", "messages", "tools", "chat_template_kwargs"}),
    TEMPLATE: frozenset(
        {
            "messages",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
            "reasoning_effort",
            "chat_template_kwargs",
        }
    ),
}

_encode = msgspec.json.Encoder().encode
_object = msgspec.json.Decoder(dict[str, Raw]).decode


class Told(Struct, frozen=True):
    """What a target says: a count, by either name, or the tokens themselves, or the text that a template made."""

    input_tokens: int | None = None
    count: int | None = None
    tokens: list[Any] | None = None
    prompt: str | None = None


_told = msgspec.json.Decoder(Told).decode


def fitted(body: bytes, path: str) -> bytes:
    """Of a target's request what is asked for at `path`."""
    kept = _KEPT.get(path)
    if kept is None:
        return body
    return _encode({name: held for name, held in _object(body).items() if name in kept})


def of_text(text: str) -> bytes:
    """The request for the tokens of a text that a template made: it may hold special tokens, and none is there twice."""
    return _encode({"content": text, "add_special": True, "parse_special": True})


def read(answer: bytes) -> Told | None:
    """What an answer says; None where it is of another shape."""
    try:
        return _told(answer)
    except ValueError:
        return None


def answer_of(spoken: str, tokens: int) -> bytes:
    """The answer for a client that speaks this dialect."""
    told: dict[str, Any] = {"input_tokens": tokens}
    return _encode({"object": "response.input_tokens", **told} if spoken == "responses" else told)
