"""Principles and refusals in the canonical form: streams fold to what the whole answer says."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.canonical import (
    Answer,
    CacheHint,
    Citation,
    Logprobs,
    Origin,
    Output,
    Refusal,
    Request,
    Text,
    ToolCall,
    Turn,
    Usage,
)
from ingot.dialects.principles import MarkedEvents, marked, principled
from ingot.events import (
    AnyEvent,
    Cited,
    Ended,
    Finished,
    LogprobsDelta,
    PartEnded,
    PartStarted,
    Started,
    TextDelta,
    UsageTold,
    fold,
)

MARK = "[refusal]"
HERE = Origin("chat", "t")
TOKEN = msgspec.Raw(b"{}")


@pytest.mark.parametrize(
    ("hinted", "breakpoints", "cache"),
    [(False, True, CacheHint()), (False, False, None), (True, True, None)],
)
def test_principled_when_target_has_breakpoints(
    *, hinted: bool, breakpoints: bool, cache: CacheHint | None
) -> None:
    """The first turn, kept by a target that can be asked to, unless the client decides what is kept."""
    turn = Turn("user", (Text("x", cache=CacheHint("1h") if hinted else None),), at="messages[0]")
    made = principled(Request(origin="chat", model="m", turns=(turn,)), "Be.", breakpoints=breakpoints)
    assert made.turns == (Turn("system", (Text("Be.", cache=cache),)), turn)


def answer(*texts: str) -> Answer:
    outputs = [
        Output(index=index, parts=(Text(text, at="c"),), finish="stop") for index, text in enumerate(texts)
    ]
    return Answer(origin=HERE, id="a", model="m", outputs=tuple(outputs))


def test_marked_when_one_of_several_refuses() -> None:
    """Only the first text of an output is looked at; what nobody refuses stays as it is."""
    given_ = answer("Yes.", f" {MARK}  No.", f"I say {MARK}")
    told, losses = marked(given_, MARK)
    assert [output.parts for output in told.outputs] == [
        (Text("Yes.", at="c"),),
        (Refusal("No.", at="c"),),
        (Text(f"I say {MARK}", at="c"),),
    ]
    assert losses == ()
    same, _ = marked(answer("Yes."), MARK)
    assert same == answer("Yes.")


def weighed(*texts: str) -> tuple[msgspec.Raw, ...]:
    """A token for each."""
    return tuple([msgspec.Raw(msgspec.json.encode({"token": text, "logprob": -1})) for text in texts])


def events_of(text: str, cuts: list[int], *, cited: bool) -> list[AnyEvent]:
    """A stream of one text, cut anywhere, with what may stand between its pieces."""
    ends = sorted({min(cut, len(text)) for cut in cuts} | {len(text)})
    events: list[AnyEvent] = [Started(HERE, "a", "m"), PartStarted(0, 0, Text("", at="c"))]
    for low, high in zip([0, *ends], ends, strict=False):
        events += [TextDelta(0, 0, text[low:high]), LogprobsDelta(0, weighed(text[low:high]))]
    if cited:
        events.append(Cited(0, 0, Citation("chat", TOKEN)))
    call = ToolCall("c1", "f", "{}")
    return [*events, PartEnded(0, 0), PartStarted(0, 1, call), PartEnded(0, 1), Finished(0, "stop"), Ended()]


@given(
    st.sampled_from(["Yes.", "[ref. 3]", "", "[refusal", f"{MARK}No.", f"\n{MARK} No.", MARK]),
    st.lists(st.integers(1, 20), max_size=6),
    st.booleans(),
)
def test_stream_says_what_the_whole_answer_says(text: str, cuts: list[int], cited: bool) -> None:  # noqa: FBT001  # drawn
    """However it is cut, and in whatever portions its events come, it folds to the same outputs."""
    events = events_of(text, cuts, cited=cited)
    stream = MarkedEvents(MARK)
    told = [due for event in events for due in stream.feed([event])]
    expected, losses = marked(fold(events), MARK)
    assert fold(told).outputs == expected.outputs
    assert stream.losses == losses
    assert told[0] == events[0]
    assert told[-1] == events[-1]


def test_logprobs_are_those_of_the_refusal_when_it_is_one() -> None:
    """They stay with the words that they belong to, and nothing spells the mark."""
    tokens = weighed("\n", MARK[:4], MARK[4:], " ", " No", ".", " ")
    output = Output(parts=(Text(f"\n{MARK}  No. "),), logprobs=(Logprobs(tokens=tokens),))
    told, _ = marked(Answer(origin=HERE, id="a", model="m", outputs=(output,)), MARK)
    assert told.outputs[0].logprobs == (Logprobs(tokens=weighed(" No", ".", " "), kind="refusal"),)


def test_what_belongs_to_no_answer_is_never_held() -> None:
    """Usage passes while a text is not clear yet."""
    stream = MarkedEvents(MARK)
    assert stream.feed([PartStarted(0, 0, Text("")), TextDelta(0, 0, "[ref")]) == []
    usage = UsageTold(Usage(input=1))
    assert stream.feed([usage]) == [usage]
