"""The canonical form: places, losses, origins, and requests that can be stored."""

import msgspec
import pytest
from hypothesis import given, settings
from msgspec import Raw

from canonicalforms import chat_requests
from ingot.canonical import Extras, Loss, Origin, Reasoning, Request, lost_extras, where


@pytest.mark.parametrize(
    ("steps", "path"),
    [
        ((), ""),
        (("messages[1]", "content[0]"), "messages[1].content[0]"),
        (("system", "[2]"), "system[2]"),
        (("input[1]", ""), "input[1]"),
        (("", "tools[0]", "", "name"), "tools[0].name"),
    ],
)
def test_where_when_steps_are_joined(steps: tuple[str, ...], path: str) -> None:
    """Names are set apart by dots, numbers are not, and empty steps are none."""
    assert where(*steps) == path


def test_extras_when_they_go_elsewhere() -> None:
    """Each is a loss at its place but null; to their own dialect none is."""
    extras = Extras("messages", {"a": Raw(b"1"), "b": Raw(b"null"), "c": Raw(b"0")})
    assert lost_extras(extras, "messages", at="x") == ()
    assert lost_extras(None, "chat", at="x") == ()
    reason = "only the messages dialect knows it"
    assert lost_extras(extras, "chat", at="x") == [Loss("x.a", "field", reason), Loss("x.c", "field", reason)]
    assert lost_extras(extras, "chat", silent=(b"null", b"0")) == [Loss("a", "field", reason)]


@pytest.mark.parametrize(
    ("mine", "there", "returns"),
    [
        (Origin("messages", "a"), Origin("messages", "a"), True),
        (Origin("messages", "a"), Origin("messages", "b"), False),
        (Origin("messages"), Origin("messages", "b"), True),
        (Origin("messages", "a"), Origin("messages"), False),
        (Origin("messages"), Origin("responses"), False),
        (Origin("chat", "a"), Origin("messages", "a"), False),
    ],
)
def test_reasoning_when_sent_back(mine: Origin, there: Origin, returns: bool) -> None:  # noqa: FBT001  a row of the table
    """It returns to its own origin; where only its dialect is known, that decides."""
    assert Reasoning(mine).returns_to(there) is returns


def test_place_when_a_dialect_has_its_own_name() -> None:
    """A setting is named as the client wrote it, else as it is called here."""
    request = Request(origin="messages", model="m", turns=(), places={"stop": "stop_sequences"})
    assert (request.place("stop"), request.place("top_k")) == ("stop_sequences", "top_k")


@settings(max_examples=50, deadline=None)
@given(request=chat_requests())
def test_request_when_stored(request: Request) -> None:
    """It is JSON and back, with every byte of what is not interpreted."""
    assert msgspec.json.decode(msgspec.json.encode(request), type=Request) == request
