"""Patterns that no linear engine takes: one rule for all dialects, for tools and for the format of an answer."""

import json
from typing import Any

import pytest

from ingot.canonical import matters
from ingot.catalog import ENGINE_QUIRKS, Quirks
from ingot.dialects.codecs.grammars import hold
from ingot.dialects.dialect import Call
from ingot.errors import ClientError
from pairs.exchange import PAIRS, RELAYS, Sent, dumped, send
from pairs.words import Json, chat, function, mess, resp

# As zod 4 writes an e-mail address.
MAIL = r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"
SCHEMA = {"type": "object", "properties": {"mail": {"type": "string", "pattern": MAIL}}}


def told(client: str, *, strict: bool = False, **fields: Any) -> Json:
    """A request of this dialect with a tool that asks for a mail address."""
    more = {"strict": True} if strict else {}
    match client:
        case "chat":
            return chat(tools=[function("send", SCHEMA, **more)], **fields)
        case "messages":
            return mess(tools=[{"name": "send", "input_schema": SCHEMA, **more}], **fields)
        case _:
            tool = {"type": "function", "name": "send", "parameters": SCHEMA, **({"strict": False} | more)}
            return resp(tools=[tool], **fields)


FORMS: dict[str, Json] = {
    "chat": {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}},
    "messages": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    "responses": {"text": {"format": {"type": "json_schema", "name": "s", "schema": SCHEMA}}},
}
CHOICES: dict[str, Json] = {
    "chat": {"tool_choice": "required"},
    "messages": {"tool_choice": {"type": "any"}},
    "responses": {"tool_choice": "required"},
}
PLACES = {
    "chat": ("tools[0].function.parameters", "response_format.json_schema.schema"),
    "messages": ("tools[0].input_schema", "output_config.format.schema"),
    "responses": ("tools[0].parameters", "text.format.schema"),
}


@pytest.mark.parametrize(("client", "target"), PAIRS)
def test_pattern_passes_untouched_when_it_only_describes(client: str, target: str) -> None:
    """To every target that is not llama.cpp, from each dialect."""
    body = told(client)
    if client == target:
        relay = RELAYS[client]
        call = relay.decode(dumped(body))
        relay.check_target(call, Quirks(), "demo")
        assert relay.prepare(call, model="demo", quirks=Quirks()) is call.body.data
    else:
        sent = send(body, client, target)
        assert json.dumps(MAIL).encode() in sent.data
        assert [loss for loss in sent.losses if matters(loss)] == []


@pytest.mark.parametrize("client", ["chat", "messages", "responses"])
@pytest.mark.parametrize("kind", ["strict", "demanded", "format"])
def test_pattern_is_refused_when_its_schema_is_demanded(client: str, kind: str) -> None:
    """Before any target is chosen, by its place."""
    more: dict[str, dict[str, Any]] = {
        "strict": {"strict": True},
        "demanded": CHOICES[client],
        "format": FORMS[client],
    }
    with pytest.raises(ClientError) as caught:
        RELAYS[client].decode(dumped(told(client, **more[kind])))
    assert caught.value.param == f"{PLACES[client][kind == 'format']}.properties.mail.pattern"


@pytest.mark.parametrize("client", ["chat", "messages", "responses"])
def test_pattern_is_refused_when_llama_would_compile_it(client: str) -> None:
    """It compiles every tool, demanded or not; the refusal names the place in the client's own body."""
    call = RELAYS["chat"].decode(dumped(told("chat")))
    sent = None if client == "chat" else send(told(client), client, "chat")
    with pytest.raises(ClientError) as caught:
        _ask_llama(call, sent)
    assert caught.value.param == f"{PLACES[client][0]}.properties.mail.pattern"


def _ask_llama(call: Call, sent: Sent | None) -> None:
    """The call of a client of chat, or a translated one."""
    if sent is None:
        RELAYS["chat"].check_target(call, ENGINE_QUIRKS, "demo")
    else:
        hold(sent.data, sent.request, ENGINE_QUIRKS, deployment="demo")
