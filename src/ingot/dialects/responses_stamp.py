"""What is ours to say in a response, whoever made it: our id, the public model name, and what its request says of us.

    id, model                       the same on every target, so that the response can be asked for again
    previous_response_id, store,    as the client asked: a target is told otherwise, for we keep its state
    metadata
    completed_at                    the instant of its end, where its maker does not tell it

Every other value keeps its bytes. Decides nothing about output.
"""

from typing import Any

import msgspec

from ingot import rawjson
from ingot.dialects.dialect import Call

_encode = msgspec.json.Encoder().encode


class _Head(msgspec.Struct):
    status: Any = None
    completed_at: Any = None


_head = msgspec.json.Decoder(_Head)


def stamp_response(response: bytes, call: Call, public: str) -> bytes:
    """The response object with what is ours; raises ValueError where it is no JSON object."""
    replace = {"model": _encode(public)}
    stamp = call.stamp
    if stamp is not None:
        asked = stamp.asked.value
        head = _head.decode(response)
        replace["id"] = _encode(stamp.id)
        replace["previous_response_id"] = _encode(asked.get("previous_response_id"))
        replace["store"] = _encode(asked.get("store") is not False)
        replace["metadata"] = _encode(asked.get("metadata") or {})
        if head.status == "completed" and head.completed_at is None:
            replace["completed_at"] = _encode(int(stamp.now()))
    return rawjson.splice_bytes(response, replace=replace)


def stamp_answer(answer: bytes, call: Call, public: str) -> bytes:
    """A whole answer, stamped."""
    return stamp_response(answer, call, public)
