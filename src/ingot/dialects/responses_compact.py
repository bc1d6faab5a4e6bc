"""Compaction: a conversation as a request for its summary, and the summary as an item that stands for the conversation.

    items --summarizing--> the conversation as plain messages, then the wish for a summary --> a response
    the response --compacted--> the user's messages as they were, and one item `compaction`, sealed

What is not a message is told in words, so that any model can be asked; instructions stay what they are. Decides what is
asked and what is kept as it was. Refuses to know how it is sealed. Source: contract §3.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ingot import rawjson
from ingot.dialects.attached import files_of_responses, split
from ingot.dialects.dialect import Call
from ingot.dialects.responses_items import images_of, kind_of
from ingot.dialects.responses_state import as_items
from ingot.errors import UpstreamError
from ingot.rawjson import Body

Json = dict[str, Any]

WISH: Final = (
    "Summarize this conversation for a model that goes on with it and sees nothing else of it. Keep what it needs: the goal, "
    "decisions and their reasons, facts, names, numbers, results of tools, open questions, and what was to be done next. "
    "Write the summary alone."
)
SUMMARY: Final = "Summary of the conversation so far:\n\n"
_DROPPED: Final = ("previous_response_id", "image")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def summarizing(call: Call) -> Call:
    """The call that asks for the summary of all that the call holds."""
    told: list[Json] = as_items(call.body.value.get("input"))
    messages = [message for index, item in enumerate(told) for message in _as_messages(item, index)]
    messages.append({"type": "message", "role": "user", "content": WISH})
    data = rawjson.splice(call.body, replace={"input": _encode(messages)}, drop=_DROPPED)
    value = {name: held for name, held in call.body.value.items() if name not in _DROPPED}
    users = tuple(item for item in told if item.get("role") == "user")
    body = Body(data, {**value, "input": messages})
    images = tuple(images_of(messages))
    files, documents = split(files_of_responses(messages, value.get("tools") or ()))
    return msgspec.structs.replace(
        call,
        body=body,
        images=images,
        files=files,
        documents=documents,
        makers=(),
        referred=(),
        repeated=users,
    )


def _as_messages(item: Json, index: int) -> Iterator[Json]:
    """A message as it is, and anything else in words."""
    kind = kind_of(item, f"input[{index}]")
    if kind == "message":
        yield {name: held for name, held in item.items() if name not in ("id", "status")}
    elif kind in ("function_call", "custom_tool_call"):
        words = item.get("arguments") if kind == "function_call" else item.get("input")
        yield _said("assistant", f"[calls the tool {item.get('name')} with {words}]")
    elif kind.endswith("_output"):
        yield _said("user", f"[the tool answers: {_text(item.get('output'))}]")
    elif kind == "reasoning":
        return
    else:
        plain = {name: held for name, held in item.items() if name not in ("id", "encrypted_content")}
        yield _said("assistant", f"[{kind}: {_encode(plain).decode()}]")


def _said(role: str, text: str) -> Json:
    return {"type": "message", "role": role, "content": text}


def _text(output: Any) -> str:
    if type(output) is str:
        return output
    parts = output if type(output) is list else []
    return " ".join(str(part.get("text") or f"({part.get('type')})") for part in parts if type(part) is dict)


def compacted(answer: bytes, call: Call, public: str) -> bytes:  # noqa: ARG001  # the dialects' signature
    """The compaction that a response with a summary is; raises UpstreamError where there is none in it."""
    response = _decode(answer)
    stamp = call.stamp
    summary = "".join(_texts(response))
    if stamp is None or stamp.seal is None or response.get("status") != "completed" or not summary.strip():
        raise UpstreamError("The model gave no whole summary of the conversation. Send the request again.")
    made = stamp.id.partition("_")[2]
    item = {"id": f"cmp_{made}", "type": "compaction", "encrypted_content": stamp.seal(summary.encode())}
    users = [_kept(message, made, index) for index, message in enumerate(call.repeated)]
    return _encode(
        {
            "id": stamp.id,
            "object": "response.compaction",
            "created_at": response.get("created_at"),
            "output": [*users, item],
            "usage": response.get("usage"),
        }
    )


def _texts(response: Json) -> Iterator[str]:
    for item in response.get("output") or ():
        for part in (item.get("content") if item.get("type") == "message" else None) or ():
            if type(part.get("text")) is str:
                yield part["text"]


def _kept(message: Json, made: str, index: int) -> Json:
    content = message.get("content")
    parts = [{"type": "input_text", "text": content}] if type(content) is str else content
    return {
        "id": f"msg_{made}i{index:04x}",
        **message,
        "type": "message",
        "status": "completed",
        "content": parts,
    }


def as_summary(text: str) -> Json:
    """What a compaction says, as a message for any model."""
    return {"type": "message", "role": "user", "content": SUMMARY + text}
