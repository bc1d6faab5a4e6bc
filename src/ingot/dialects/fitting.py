"""Translated requests for a target that compiles schemas as llama.cpp does: what a chat client's request gets, they get too.

    target's body --judge each schema by its place in the client's body--> CHAT.prepare --> body
    target's answer <-- a demanded call that came as text, turned back --

Decides under which names a client is told of its schemas. What fits, and how a call is demanded, is `gbnf`'s and `demanded`'s.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ingot.canonical import FunctionTool, Request
from ingot.catalog import Quirks
from ingot.dialects import demanded, gbnf
from ingot.dialects.chat import CHAT
from ingot.dialects.dialect import AS_IT_IS, Call, Schema, StreamTap, Turn
from ingot.rawjson import Body, Place
from ingot.schemas import check_schema

_TOOL: Final = {"messages": ".input_schema", "responses": ".parameters", "chat": ".function.parameters"}
_FORM: Final = {"messages": ".schema", "responses": ".schema", "chat": ".json_schema.schema"}

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Fitted(msgspec.Struct, frozen=True):
    """A body as the target is sent it, and how its answer is turned back before anybody reads it."""

    body: bytes
    call: Call
    turn: Turn

    def turn_back(self, answer: bytes) -> bytes:
        """A whole answer; raises ValueError where it is no JSON object."""
        return CHAT.turn_back(answer, self.turn)

    def tap(self) -> StreamTap | None:
        """What the target's stream goes through first; None where it comes as it was asked for."""
        if self.turn is AS_IT_IS:
            return None
        model = self.call.model
        return CHAT.tap(self.call, model=model, public=model, turn=self.turn)


def fit(data: bytes, request: Request, *, quirks: Quirks, deployment: str) -> Fitted:
    """What becomes of an encoded chat request; raises ClientError that names the schema's place in the client's body."""
    value = _decode(data)
    schemas: list[Schema] = []
    for place, field, schema, held in _schemas(value, request):
        fault = check_schema(schema, field)
        if fault is not None and (held or not quirks.any_pattern):
            raise fault
        if held:
            gbnf.check_held(schema, field, deployment=deployment)
        gbnf.fitted(schema, field, deployment=deployment)
        schemas.append(Schema(place, schema, held))
    call = Call(
        model=value["model"],
        body=Body(data, value),
        stream=value.get("stream") is True,
        wants_usage=True,
        schemas=tuple(schemas),
    )
    body = CHAT.prepare(call, model=call.model, quirks=quirks)
    return Fitted(body, call, CHAT.turn_of(call, quirks, None))


def _schemas(value: dict[str, Any], request: Request) -> Iterator[tuple[Place, str, dict[str, Any], bool]]:
    """Each schema: its place for the target, what the client calls it, itself, and whether it is demanded."""
    places = {tool.name: tool.at for tool in request.tools if isinstance(tool, FunctionTool)}
    must = demanded.is_demanded(value)
    for index, tool in enumerate(value.get("tools") or ()):
        function = tool.get("function") or {}
        if function.get("parameters"):
            field = places.get(function["name"], f"tools[{index}]") + _TOOL[request.origin]
            held = must or function.get("strict") is True
            yield ("tools", index, "function", "parameters"), field, function["parameters"], held
    form = value.get("response_format") or {}
    schema = (form.get("json_schema") or {}).get("schema")
    if schema:
        place = ("response_format", "json_schema", "schema")
        yield place, request.place("output_format") + _FORM[request.origin], schema, True
