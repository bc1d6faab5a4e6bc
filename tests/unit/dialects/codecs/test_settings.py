"""What does not reach a translated target by its quirks: refused, or left out by whoever runs the server."""

from typing import Any

import pytest

from ingot.canonical import Origin, matters
from ingot.catalog import Quirks
from ingot.dialects.codec import Destination
from pairs.exchange import CHECKS, CODECS, dumped
from pairs.words import chat, mess, resp, user

METADATA = {"trace": "7"}


def lost(body: dict[str, Any], client: str, target: str, quirks: Quirks) -> list[tuple[str, str]]:
    """Places and kinds of what this target is not told."""
    request, _ = CODECS[client].decode_request(CHECKS[client](dumped(body)))
    to = Destination(Origin(CODECS[target].name, "target"), "up", quirks)
    _, losses = CODECS[target].encode_request(request, to)
    return [(loss.path, loss.kind) for loss in losses if loss.kind in {"dropped", "setting", "identity"}]


@pytest.mark.parametrize(
    ("client", "target", "body", "drop", "paths"),
    [
        ("chat", "messages", chat(user("Hi"), user="ada"), "metadata", ["user"]),
        ("chat", "responses", chat(user("Hi"), metadata=METADATA), "metadata", ["metadata"]),
        ("chat", "messages", chat(user("Hi"), stop="x"), "stop_sequences", ["stop"]),
        ("messages", "chat", mess(user("Hi"), top_p=0.5), "top_p", ["top_p"]),
        ("messages", "responses", mess(user("Hi")), "max_output_tokens", ["max_tokens"]),
        ("responses", "chat", resp(max_output_tokens=5), "max_completion_tokens", ["max_output_tokens"]),
        ("responses", "messages", resp(temperature=0.5), "temperature", ["temperature"]),
        # The client said nothing of it.
        ("chat", "messages", chat(user("Hi")), "max_tokens", []),
        ("chat", "responses", chat(user("Hi")), "store", []),
        ("messages", "chat", mess(user("Hi")), "top_p", []),
        # It is kept here, and would go to no target.
        ("chat", "responses", chat(user("Hi"), store=True, metadata=METADATA), "metadata", []),
    ],
)
def test_field_is_told_when_an_operator_drops_it(
    client: str, target: str, body: dict[str, Any], drop: str, paths: list[str]
) -> None:
    """By its place in the client's request, and only where the client sent it."""
    assert lost(body, client, target, Quirks(drop=frozenset({drop}))) == [(path, "dropped") for path in paths]


def test_field_matters_when_a_target_refuses_it() -> None:
    """But for those that change no answer, wherever they are lost."""
    quirks = Quirks(reject=frozenset({"seed", "user"}))
    body = chat(user("Hi"), seed=7, user="ada")
    request, _ = CODECS["chat"].decode_request(CHECKS["chat"](dumped(body)))
    _, losses = CODECS["chat"].encode_request(request, Destination(Origin("chat", "target"), "up", quirks))
    assert [(loss.path, matters(loss)) for loss in losses] == [("seed", True), ("user", False)]
