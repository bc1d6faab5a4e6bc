"""A preset on a dialect: errors in bodies and in streams, rules before the dialect's own."""

import json

import pytest

from ingot.dialects.chat import CHAT
from ingot.dialects.envelope import error_object
from ingot.dialects.opaque import EMBEDDINGS
from ingot.errors import ApiError, InvalidRequest, RateLimited, Unauthenticated, UpstreamError
from ingot.presets import dressed, encode_error, load
from ruled import ask, written


def test_errors_look_alike_when_they_come_whole_and_in_a_stream() -> None:
    """A dressed dialect's encoders, its tap and `encode_error` tell the same."""
    aurora = load("aurora")
    dialect = dressed(CHAT, aurora)
    error = Unauthenticated("Who?")
    status, body = encode_error(aurora, error, "r")
    assert status == 401
    assert dialect.encode_error(error, "r") == (401, body)
    assert dialect.error_event(error, "r") == b"data: " + body + b"\n\n"
    call = dialect.decode(b'{"model":"m","messages":[{"role":"user","content":"hi"}]}')
    said = dialect.tap(call, model="m", public="m").feed(b'{"error":{"message":"from upstream"}}')
    upstream = UpstreamError("The upstream reported an error while it was answering.")
    assert said == encode_error(aurora, upstream, "")[1]
    assert json.loads(said)["error"]["code"] == "server_error"


def test_errors_are_byte_identical_when_the_preset_is_open() -> None:
    """The default adds nothing to what the dialect says."""
    error = InvalidRequest("Bad.", param="n")
    assert encode_error(load("open"), error, "r") == CHAT.encode_error(error, "r")
    assert dressed(CHAT, load("open")).tap is CHAT.tap


def test_other_surfaces_keep_their_decoder_when_rules_are_for_chat() -> None:
    """A rule holds for its surface alone."""
    valar = load("valar")
    assert dressed(EMBEDDINGS, valar).decode is EMBEDDINGS.decode
    preset = written('[fields.embeddings]\nuser = "reject"')
    with pytest.raises(ApiError) as caught:
        dressed(EMBEDDINGS, preset).decode(b'{"model":"m","input":"x","user":"u"}')
    assert caught.value.param == "user"
    assert dressed(CHAT, preset).decode is CHAT.decode


def test_defaults_are_checked_when_the_dialect_reads_the_body() -> None:
    """What a rule fills in counts like what the client sent."""
    preset = written("[fields.chat]\nmax_tokens = { default = 0 }")
    with pytest.raises(ApiError) as caught:
        ask(preset, {})
    assert caught.value.param == "max_tokens"


def test_body_is_refused_when_it_is_no_sound_json() -> None:
    """Rules see only what passed the strict reader."""
    decode = dressed(CHAT, load("valar")).decode
    for data in (b"", b"[]", b'{"a":1,"a":2}'):
        with pytest.raises(InvalidRequest):
            decode(data)


def test_bytes_are_the_clients_when_nothing_changes() -> None:
    """A preset with rules still relays verbatim."""
    data = b'{ "model": "m", "messages": [{"role":"user","content":"Hi"}], "temperature": 1.0 }'
    assert dressed(CHAT, load("valar")).decode(data).body.data == data
    sent = dressed(CHAT, load("aurora")).decode(data).body
    assert sent.data == data[:-2] + b' ,"max_tokens":1024}'
    assert json.loads(sent.data) == sent.value


class _LimitWithFigures(RateLimited):
    """What an error is that carries more along than the tree knows."""


def test_error_is_told_as_what_it_extends_when_the_tree_does_not_have_it() -> None:
    """A class from elsewhere gets the row of the class of the tree, not the usual words."""
    table = load("aurora").errors
    own, tree = (kind("Slow down.") for kind in (_LimitWithFigures, RateLimited))
    assert error_object(own, "", table=table) == error_object(tree, "", table=table)
    assert error_object(own, "", table=table)["error"]["code"] == "rate_limited"
