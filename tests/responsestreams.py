"""The many ways in which a server may tell a response as a stream, for Hypothesis.

Pieces of any size, cut between the halves of an escaped pair too, items that take turns, parts and deltas and even
last events left out where a later one repeats them, comments, and any line end.
"""

import json
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from storylines import dumped

Json = dict[str, Any]


@st.composite
def _pieces(draw: st.DrawFn, text: str) -> list[str]:
    """A text in pieces, some empty, some cut between the halves of an escaped pair."""
    data = text.encode("utf-16-le")
    units = [data[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(data), 2)]
    cuts = sorted(draw(st.lists(st.integers(0, len(units)), max_size=4)))
    ends = [0, *cuts, len(units)]
    pieces = ["".join(units[low:high]) for low, high in pairwise(ends)]
    return [_glued(piece) for piece in pieces]


def _glued(piece: str) -> str:
    return piece.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _told(item: Json) -> list[tuple[str, Json, str]]:
    """The texts of an item, each with the name of its events and its place in the item."""
    kind = item["type"]
    if kind == "message":
        return [
            ("refusal", {"content_index": at}, part["refusal"])
            if part["type"] == "refusal"
            else ("output_text", {"content_index": at}, part["text"])
            for at, part in enumerate(item["content"])
        ]
    if kind == "reasoning":
        shown = enumerate(item["summary"])
        told = [("reasoning_summary_text", {"summary_index": at}, part["text"]) for at, part in shown]
        thought = enumerate(item.get("content") or ())
        return told + [("reasoning_text", {"content_index": at}, part["text"]) for at, part in thought]
    if kind == "function_call":
        return [("function_call_arguments", {}, item["arguments"])]
    return [("custom_tool_call_input", {}, item["input"])] if kind == "custom_tool_call" else []


def _shell(item: Json) -> Json:
    """An item at its start."""
    empty: Json = {"content": [], "summary": [], "arguments": "", "input": "", "encrypted_content": None}
    return {name: empty.get(name, held) for name, held in item.items()}


def _bare_part(part: Json) -> Json:
    empty: Json = {"text": "", "refusal": "", "annotations": [], "logprobs": []}
    return {name: empty.get(name, held) for name, held in part.items()}


@st.composite
def _item_events(draw: st.DrawFn, index: int, item: Json) -> list[Json]:
    """The events of one item; servers leave out what its end repeats."""
    place = {"output_index": index, "item_id": item.get("id")}
    terse = draw(st.booleans())
    silent = terse and draw(st.booleans())
    events: list[Json] = [{"type": "response.output_item.added", "output_index": index, "item": _shell(item)}]
    for name, at, text in _told(item):
        here = {**place, **at}
        parts = item["content"] if item["type"] == "message" and not terse else None
        if parts:
            part = _bare_part(parts[at["content_index"]])
            events.append({"type": "response.content_part.added", **here, "part": part})
        pieces = [] if silent else draw(_pieces(text))
        events += [{"type": f"response.{name}.delta", **here, "delta": piece} for piece in pieces]
        if parts:
            part = parts[at["content_index"]]
            events.append({"type": "response.content_part.done", **here, "part": part})
    events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    return events


@st.composite
def strange_streams(draw: st.DrawFn, response: Json) -> bytes:
    """A stream that tells this response: items may take turns, and their last ones may be left out."""
    columns = [draw(_item_events(index, item)) for index, item in enumerate(response["output"])]
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    events: list[Json] = [{"type": "response.created", "response": begun}]
    mixed = draw(st.booleans())
    open_ones: list[int] = []
    waiting = list(range(len(columns)))
    while waiting or open_ones:
        # Items begin in their order, whatever else they do.
        if waiting and (not open_ones or (mixed and draw(st.booleans()))):
            open_ones.append(waiting.pop(0))
            index = open_ones[-1]
        else:
            index = draw(st.sampled_from(open_ones))
        events.append(columns[index].pop(0))
        if not columns[index]:
            open_ones.remove(index)
    if draw(st.booleans()) and len(events) > 1 and events[-1]["type"] == "response.output_item.done":
        events.pop()
    status = response["status"]
    events.append({"type": f"response.{status}", "response": response})
    end = draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    escaped = draw(st.booleans())
    data = [
        b"event: " + event["type"].encode() + end + b"data: " + _dumped(event, escaped=escaped) + end * 2
        for event in events
    ]
    data.insert(draw(st.integers(0, len(data))), b": still there" + end * 2)
    return b"".join(data)


def _dumped(event: Json, *, escaped: bool) -> bytes:
    """JSON; halves of pairs can only be written escaped."""
    try:
        return dumped(event, escaped=escaped)
    except UnicodeEncodeError:
        return json.dumps(event).encode()
