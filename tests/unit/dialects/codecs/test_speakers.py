"""Names of speakers at targets that have none: in front of the words where several speak in a role."""

import pytest
from msgspec import Raw

from ingot.canonical import (
    Image,
    Losses,
    NativePart,
    Origin,
    Reasoning,
    Refusal,
    Request,
    Text,
    ToolCall,
    Turn,
    matters,
)
from ingot.dialects.codecs.speakers import introduced

PICTURE = Image(url="https://a.example/1", at="content[0]")
CALL = ToolCall("c", "f", "{}", at="tool_calls[0]")
THOUGHTS = Reasoning(Origin("chat"), ("Hm.",))


def told(*turns: Turn) -> tuple[tuple[Turn, ...], Losses]:
    """These turns at a target without names."""
    found, losses = introduced(Request(origin="chat", model="m", turns=turns), "messages")
    assert [loss for loss in losses if matters(loss)] == []
    return found, tuple(losses)


def test_turns_are_left_alone_when_nobody_is_named() -> None:
    """The very same ones, and nothing is lost."""
    request = Request(origin="chat", model="m", turns=(Turn("user", (Text("Hi"),)),))
    found, losses = introduced(request, "messages")
    assert found is request.turns
    assert losses == []


def test_name_is_left_out_when_it_is_the_only_one_of_its_role() -> None:
    """It tells nobody apart; one of another role does not count."""
    found, losses = told(
        Turn("user", (Text("Hi"),), "ada", at="messages[0]"),
        Turn("assistant", (Text("Hello"),), "house", at="messages[1]"),
        Turn("user", (Text("Bye"),), "ada", at="messages[2]"),
    )
    assert [turn.parts for turn in found] == [(Text("Hi"),), (Text("Hello"),), (Text("Bye"),)]
    assert [turn.name for turn in found] == [None] * 3
    assert [loss.path for loss in losses] == [f"messages[{index}].name" for index in range(3)]


@pytest.mark.parametrize("other", ["bob", None])
def test_name_stands_in_front_when_several_speak_in_a_role(other: str | None) -> None:
    """One without a name is another speaker, too."""
    found, losses = told(
        Turn("user", (Text("Hi", at="content"),), "ada", at="messages[0]"),
        Turn("user", (Text("Hello"),), other, at="messages[1]"),
    )
    assert found[0] == Turn("user", (Text("ada: Hi", at="content"),), at="messages[0]")
    assert found[1].parts == (Text("Hello" if other is None else "bob: Hello"),)
    assert len(losses) == (1 if other is None else 2)
    assert "in front" in losses[0].reason


@pytest.mark.parametrize(
    ("parts", "led"),
    [
        ((PICTURE, Text("Look")), (Text("ada:", at="content[0]"), PICTURE, Text("Look"))),
        ((THOUGHTS, Text(""), Refusal("No.")), (THOUGHTS, Text(""), Text("ada:"), Refusal("No."))),
        ((THOUGHTS, Text("So."), CALL), (THOUGHTS, Text("ada: So."), CALL)),
        ((Text(""), CALL), None),
        ((NativePart("chat", "odd", Raw(b"{}")),), None),
        ((), None),
    ],
)
def test_name_stands_before_the_first_that_is_said_when_there_is_something_else(
    parts: tuple[Text, ...], led: tuple[Text, ...] | None
) -> None:
    """Thoughts and calls are nobody's words; where there are no words the name is told as lost."""
    found, (loss,) = told(Turn("assistant", parts, "ada", at="messages[0]"), Turn("assistant", (Text("Hi"),)))
    assert found[0].parts == (parts if led is None else led)
    assert found[0].name is None
    assert ("no words" in loss.reason) is (led is None)


def test_name_of_a_call_stays_when_a_tool_has_one() -> None:
    """It is the call's, and nobody speaks."""
    turn = Turn("tool", (Text("4"),), "weather")
    found, losses = told(turn, Turn("tool", (Text("5"),), "time"))
    assert found[0] == turn
    assert losses == ()
