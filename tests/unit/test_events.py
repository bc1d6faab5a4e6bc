"""Folding events: what was said in pieces is one answer, and one that is not whole says so."""

import msgspec
import pytest
from msgspec import Raw

from ingot.canonical import (
    Answer,
    Citation,
    Extras,
    Failure,
    Logprobs,
    NativePart,
    Origin,
    Reasoning,
    Refusal,
    Seal,
    Text,
    ToolCall,
    Usage,
)
from ingot.events import (
    AnyEvent,
    ArgumentsDelta,
    Cited,
    Ended,
    Failed,
    Finished,
    Folder,
    LogprobsDelta,
    Noted,
    PartEnded,
    PartStarted,
    Ping,
    ReasoningDelta,
    RefusalDelta,
    Sealed,
    Started,
    SummaryDelta,
    TextDelta,
    UsageTold,
    fold,
)

HERE = Origin("messages", "t")
START = Started(HERE, "msg_1", "m", 5, extras=Extras("messages", {"a": Raw(b"1")}))
EVENTS: list[AnyEvent] = [
    START,
    Ping(),
    UsageTold(Usage(input=4)),
    PartStarted(0, 0, Reasoning(HERE)),
    ReasoningDelta(0, 0, "t1"),
    ReasoningDelta(0, 0, "u", 1),
    SummaryDelta(0, 0, "s", 0),
    ReasoningDelta(0, 0, "2"),
    Sealed(0, 0, Seal("signature", "sig")),
    PartEnded(0, 0),
    PartStarted(0, 1, Text("", at="content[1]")),
    TextDelta(0, 1, "a"),
    LogprobsDelta(0, (Raw(b"1"),), part=1),
    TextDelta(0, 1, "b"),
    LogprobsDelta(0, (Raw(b"2"), Raw(b"3")), part=1),
    Cited(0, 1, Citation("messages", Raw(b"{}"))),
    PartEnded(0, 1),
    PartStarted(0, 2, ToolCall("c1", "f", "")),
    PartStarted(0, 3, ToolCall("c2", "g", "")),
    ArgumentsDelta(0, 3, "["),
    ArgumentsDelta(0, 2, "{"),
    ArgumentsDelta(0, 3, "]"),
    ArgumentsDelta(0, 2, "}"),
    PartEnded(0, 2, Extras("messages", {"caller": Raw(b"1")})),
    PartEnded(0, 3),
    PartStarted(1, 0, Refusal("")),
    RefusalDelta(1, 0, "no"),
    PartEnded(1, 0),
    PartStarted(0, 4, NativePart("messages", "server_tool_use", Raw(b"{}"))),
    PartEnded(0, 4),
    Noted(Extras("messages", {"stop_details": Raw(b"2")}), "choice", 1),
    Noted(Extras("messages", {"a": Raw(b"3"), "b": Raw(b"4")}), service_tier="priority"),
    Finished(1, "refusal"),
    Finished(0, "stop_sequence", stop_sequence="END"),
    UsageTold(Usage(input=4, output=9)),
    Ended(),
]


def test_answer_when_its_stream_is_whole() -> None:
    """Pieces join in their parts, parts stand in their order, and the last counts count."""
    answer = fold(EVENTS)
    first, second = answer.outputs
    assert first.parts == (
        Reasoning(HERE, ("t12", "u"), ("s",), Seal("signature", "sig")),
        Text("ab", (Citation("messages", Raw(b"{}")),), at="content[1]"),
        ToolCall("c1", "f", "{}", extras=Extras("messages", {"caller": Raw(b"1")})),
        ToolCall("c2", "g", "[]"),
        NativePart("messages", "server_tool_use", Raw(b"{}")),
    )
    assert first.logprobs == (Logprobs(tokens=(Raw(b"1"), Raw(b"2"), Raw(b"3")), part=1),)
    assert (first.finish, first.stop_sequence) == ("stop_sequence", "END")
    assert (second.index, second.parts, second.finish) == (1, (Refusal("no"),), "refusal")
    assert second.extras == Extras("messages", {"stop_details": Raw(b"2")})
    assert (answer.origin, answer.id, answer.model, answer.created) == (HERE, "msg_1", "m", 5)
    assert answer.usage == Usage(input=4, output=9)
    assert answer.service_tier == "priority"
    assert answer.extras == Extras("messages", {"a": Raw(b"3"), "b": Raw(b"4")})
    assert (answer.complete, answer.failure) == (True, None)


@pytest.mark.parametrize("count", range(1, len(EVENTS)))
def test_answer_when_its_stream_breaks_off(count: int) -> None:
    """There is an answer of what came, and it is marked as partial."""
    answer = fold(EVENTS[:count])
    assert answer.complete is False
    assert answer.failure is None
    assert answer.id == "msg_1"


def test_answer_when_its_stream_fails() -> None:
    """It is partial too, and has the target's own words."""
    failure = Failure(message="overloaded")
    answer = fold([START, PartStarted(0, 0, Text("")), TextDelta(0, 0, "x"), Failed(failure)])
    assert answer.complete is False
    assert answer.failure == failure
    assert answer.outputs[0].parts == (Text("x"),)


def test_answer_when_a_choice_has_no_end() -> None:
    """The stream's own end does not make it whole."""
    assert fold([START, PartStarted(0, 0, Text("")), Ended()]).complete is False


def test_stream_when_it_never_started() -> None:
    """There is no answer to speak of."""
    with pytest.raises(ValueError, match="did not start"):
        fold([Ping()])


def test_parts_when_they_come_whole() -> None:
    """What a part starts with stands before its deltas."""
    events: list[AnyEvent] = [
        START,
        PartStarted(0, 0, Text("a", (Citation("messages", Raw(b"1")),))),
        TextDelta(0, 0, "b"),
        PartStarted(0, 1, Reasoning(HERE, ("x",), ("y", "z"), Seal("redacted", "r"))),
        ReasoningDelta(0, 1, "x"),
        SummaryDelta(0, 1, "z", 1),
    ]
    assert fold(events).outputs[0].parts == (
        Text("ab", (Citation("messages", Raw(b"1")),)),
        Reasoning(HERE, ("xx",), ("y", "zz"), Seal("redacted", "r")),
    )


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        ([b'"ca"', b'"lm"'], b'"calm"'),
        ([b"[1]", b"[2]"], b"[1,2]"),
        ([b"1", b"2"], b"2"),
        ([b"1", b"null"], b"1"),
        ([b'{"id":"i","data":"a"}', b'{"id":"i","data":"b"}'], b'{"id":"i","data":"ab"}'),
        ([b'{"a":{"name":"n"}}', b'{"a":{"args":"x"},"b":[]}'], b'{"a":{"name":"n","args":"x"},"b":[]}'),
    ],
)
def test_unknown_fields_of_a_message_when_told_in_pieces(pieces: list[bytes], whole: bytes) -> None:
    """Texts and lists grow, of other values the last counts, and a name that is repeated is one."""
    events = [Noted(Extras("chat", {"x": Raw(piece)}), "message") for piece in pieces]
    output = fold([START, *events]).outputs[0]
    assert output.message_extras == Extras("chat", {"x": Raw(whole)})


def test_folder_when_asked_between_events() -> None:
    """The answer so far can be had at any time."""
    folder = Folder()
    for event in (START, PartStarted(0, 0, Text("")), TextDelta(0, 0, "a")):
        folder.feed(event)
    assert folder.answer().outputs[0].parts == (Text("a"),)
    folder.feed(TextDelta(0, 0, "b"))
    assert folder.answer().outputs[0].parts == (Text("ab"),)


def test_events_and_answers_when_stored() -> None:
    """They are JSON and back, uninterpreted values with every byte."""
    data = msgspec.json.encode(EVENTS)
    assert msgspec.json.decode(data, type=list[AnyEvent]) == EVENTS
    answer = fold(EVENTS)
    assert msgspec.json.decode(msgspec.json.encode(answer), type=Answer) == answer
