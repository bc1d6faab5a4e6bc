"""The texts before a conversation and its messages, as turns.

Decides what each message says, and refuses what its version of the wire forbids. The texts of `system` are the first
turn; messages of that role stay where they stand.
"""

from typing import Any, Final

from ingot.canonical import AnyPart, Origin, Text, Turn
from ingot.dialects.codecs.checks import missing, objects, wrong
from ingot.dialects.codecs.leftovers import extras_of, unknown
from ingot.dialects.codecs.messages.blocks import decode_blocks
from ingot.dialects.codecs.messages.versions import Rules
from ingot.errors import InvalidRequest
from ingot.rawjson import clip

Json = dict[str, Any]

SYSTEM: Final = "system"
_KNOWN: Final = frozenset({"role", "content"})
_ROLES: Final = ("user", "assistant", "system")
_ORIGIN: Final = Origin("messages")


def decode_turns(value: Json, rules: Rules) -> tuple[Turn, ...]:
    """The turns of a request: one for `system`, then one a message."""
    turns: list[Turn] = []
    system = value.get(SYSTEM)
    if not system:
        # An empty text says nothing.
        pass
    elif type(system) is str:
        turns.append(Turn("system", (Text(system),), at=SYSTEM))
    else:
        turns.append(Turn("system", decode_blocks(objects(system, path=SYSTEM), _ORIGIN, at=""), at=SYSTEM))
    if value.get("messages") is None:
        raise missing("messages", expected="an array")
    for index, message in enumerate(objects(value["messages"], path="messages")):
        turns.append(_decode_message(message, f"messages[{index}]", rules))
    return tuple(turns)


def _decode_message(message: Json, at: str, rules: Rules) -> Turn:
    role = message.get("role")
    if role not in _ROLES:
        got = clip(role) if type(role) is str else "none of them"
        raise InvalidRequest(
            f"Invalid value for '{at}.role': expected 'user', 'assistant' or 'system', but got '{got}'.",
            param=f"{at}.role",
        )
    parts = _decode_content(message.get("content"), at, role=role, rules=rules)
    extras = None if len(message) == 2 else extras_of(dict(unknown(message, _KNOWN)), "messages")
    return Turn(role, parts, at=at, extras=extras)


def _decode_content(content: Any, at: str, *, role: str, rules: Rules) -> tuple[AnyPart, ...]:
    path = f"{at}.content"
    if type(content) is str:
        return (Text(content, at="content"),)
    if content is None:
        raise missing(path, expected="a string or an array of content blocks")
    if type(content) is not list:
        raise wrong(content, list, path=path)
    blocks = objects(content, path=path)
    for index, block in enumerate(blocks):
        _check_block(block, f"{path}[{index}]", role=role, rules=rules)
    return decode_blocks(blocks, _ORIGIN)


def _check_block(block: Json, path: str, *, role: str, rules: Rules) -> None:
    """Refuses what a version of the wire has no longer."""
    kind = block.get("type")
    if type(kind) is not str:
        raise missing(f"{path}.type", expected="a string")
    if kind == "document" and role == "assistant" and not rules.assistant_documents:
        raise InvalidRequest(
            f"'{path}' is a document in a message of the assistant, which anthropic-version {rules.version} "
            "does not accept. Put it into a message of the user.",
            param=path,
        )
    if kind == "text" and role == "user" and block.get("citations") and not rules.user_citations:
        raise InvalidRequest(
            f"'{path}.citations' is not empty in a message of the user, which anthropic-version {rules.version} "
            "does not accept. Leave the citations out.",
            param=f"{path}.citations",
        )
