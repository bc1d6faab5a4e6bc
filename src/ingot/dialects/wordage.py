"""How much text an answer holds: characters, and bytes of UTF-8, of what a model wrote and a tokenizer would count.

Decides which members of a message, a delta or a choice are text of the model: words, thoughts, refusals, tool calls.
Ids, roles and media are not. Knows no tokens: what text is worth in tokens depends on who tokenizes.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

Length = tuple[int, int]
"""Characters, and bytes of UTF-8."""

NONE: Length = (0, 0)

_decode = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode
_answer = msgspec.json.Decoder(dict[str, Any]).decode


def length_of(text: str) -> Length:
    """A text's length."""
    size = len(text)
    return (size, size) if text.isascii() else (size, len(text.encode("utf-8", "replace")))


def length_in_json(text: bytes) -> Length:
    """The length of a text that is written as the inside of a JSON string; as it stands where it is none."""
    if b"\\" not in text and text.isascii():
        return len(text), len(text)
    try:
        return length_of(_decode(b'"' + text + b'"'))
    except ValueError:
        return len(text), len(text)


def length_of_choice(choice: Mapping[str, Any]) -> Length:
    """The text of one choice, whole or a chunk's, of a chat or a completion."""
    text = choice.get("text")
    if type(text) is str:
        return length_of(text)
    said = choice.get("delta") or choice.get("message")
    if type(said) is not dict:
        return NONE
    content = said.get("content")
    # Nearly every delta; the rest takes twice as long.
    return length_of(content) if len(said) == 1 and type(content) is str else _length_of_message(said)


def length_of_block(block: object) -> Length:
    """The text of a content block of Anthropic's format."""
    if type(block) is not dict:
        return NONE
    found = [block.get(name) for name in ("text", "thinking", "name")]
    lengths = [length_of(text) for text in found if type(text) is str]
    if block.get("input"):
        told = _encode(block["input"]).decode()
        lengths.append(length_of(told))
    return _sum(lengths)


def length_of_items(items: list[Any]) -> Length:
    """The text of the output items of a response."""
    return _sum([_length_of_item(each) for each in items if type(each) is dict])


def _length_of_item(item: Mapping[str, Any]) -> Length:
    found = _words_of_call(item)
    for name in ("content", "summary"):
        parts = item.get(name)
        for part in parts if type(parts) is list else ():
            if type(part) is dict:
                found += [part.get("text"), part.get("refusal")]
    return _sum([length_of(text) for text in found if type(text) is str])


def length_of_answer(answer: bytes) -> Length | None:
    """The text of all choices, blocks or items of a whole answer; None where it has none of them."""
    try:
        value = _answer(answer)
    except (ValueError, RecursionError):
        return None
    choices, content, output = value.get("choices"), value.get("content"), value.get("output")
    if type(output) is list:
        return length_of_items(output)
    if type(content) is list:
        return _sum([length_of_block(each) for each in content])
    if type(choices) is not list:
        return None
    return _sum([length_of_choice(each) for each in choices if type(each) is dict])


def _length_of_message(said: Mapping[str, Any]) -> Length:
    # Some servers tell a thought under both names: it is one.
    found = [said.get("content"), said.get("reasoning_content") or said.get("reasoning"), said.get("refusal")]
    calls = said.get("tool_calls")
    for call in calls if type(calls) is list else ():
        if type(call) is dict:
            found += _words_of_call(call.get("function")) + _words_of_call(call.get("custom"))
    found += _words_of_call(said.get("function_call"))
    audio = said.get("audio")
    if type(audio) is dict:
        found.append(audio.get("transcript"))
    return _sum([_length_of_content(each) for each in found if each])


def _words_of_call(call: object) -> list[Any]:
    return [call.get(name) for name in ("name", "arguments", "input")] if type(call) is dict else []


def _length_of_content(content: object) -> Length:
    """A text, or a list of parts some of which hold one."""
    if type(content) is str:
        return length_of(content)
    if type(content) is not list:
        return NONE
    texts = [part.get("text") for part in content if type(part) is dict]
    return _sum([length_of(text) for text in texts if type(text) is str])


def _sum(lengths: list[Length]) -> Length:
    return sum(each[0] for each in lengths), sum(each[1] for each in lengths)
