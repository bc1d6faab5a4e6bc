"""What is asked of the targets of a model for a request of a batch, and what is known without asking once more."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments import deployment
from ingot.catalog import Deployment, Quirks, Route, Target
from ingot.dialects.chat import CHAT
from ingot.dialects.dialect import Call, Dialect
from ingot.dialects.messages import MESSAGES
from ingot.dialects.responses import RESPONSES
from ingot.errors import ClientError
from ingot.services.batches.fits import LONGEST, MOST_SHAPES, Fits, shape_of
from ingot.services.fitting import takes_all
from ingot.services.grants import Grant
from ingot.services.keys import Principal

SURFACES = frozenset({"/v1/chat/completions", "/v1/messages", "/v1/responses"})


def route(name: str, *dialects: str, **quirks: Any) -> Route:
    """A target with these quirks."""
    spoken = frozenset(dialects or ("chat",))
    return Route(Target(name, "http://127.0.0.1:9/v1", dialects=spoken, quirks=Quirks(**quirks)), "theirs")


STRICT = route("strict", reject=frozenset({"seed"}))
ENGINE = route("engine", gbnf=True)


def model(*routes: Route, **fields: Any) -> Deployment:
    """A deployment of these targets."""
    return deployment(*routes, capabilities=SURFACES, on_loss="refuse", **fields)


class Door:
    """What asks, and for how many requests a target was asked."""

    def __init__(self, dialect: Dialect = CHAT) -> None:
        self.asked = 0
        self._dialect = dialect
        self._fits = Fits(
            dialect, Principal("key_1", "kid", "name", "org_1", "inference", Grant()), self._sent
        )

    def check(self, to: Deployment, window: str = "standard", **fields: Any) -> None:
        """Judges a request with these fields."""
        self._fits.check(self._dialect.decode(json.dumps({"model": "m", **fields}).encode()), to, window)

    def refused(self, to: Deployment, **fields: Any) -> ClientError:
        """The same for one that is refused."""
        with pytest.raises(ClientError) as caught:
            self.check(to, **fields)
        return caught.value

    def _sent(self, call: Call, _: Deployment, __: str) -> Call:
        self.asked += 1
        return call


def said(*texts: str, **more: Any) -> dict[str, Any]:
    """Turns of a user and the assistant, the last of them a user's."""
    roles = ("user", "assistant")
    turns = [{"role": roles[place % 2], "content": text} for place, text in enumerate(texts)]
    return {"messages": turns, **more}


def test_target_is_asked_once_when_only_words_differ() -> None:
    """Whatever a text says and whoever asks: one shape is one question, for each model and each window."""
    door, to = Door(), model(STRICT)
    for number in range(20):
        door.check(to, **said(f"text {number}"), user=f"u{number}", metadata={"row": str(number)})
    assert door.asked == 1
    door.check(to, "flex", **said("text"), user="u", metadata={"row": "1"})
    assert door.asked == 2


@pytest.mark.parametrize(
    "other",
    [
        said("x", "y", "z"),
        said("x", temperature=1),
        said("x", seed=None),
        said("x", metadata={"other": "1"}),
        said(" "),
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
        {"messages": [{"role": "user", "content": "x", "name": "ada"}]},
        said("x", response_format={"type": "json_object"}),
    ],
)
def test_target_is_asked_anew_when_more_than_words_differs(other: dict[str, Any]) -> None:
    """What a target could take otherwise is another shape."""
    door, to = Door(), model(STRICT)
    door.check(to, **said("x"))
    door.check(to, **other)
    assert door.asked == 2


def test_refusal_is_told_each_time_when_a_shape_is_not_taken() -> None:
    """Nothing but what a target takes is remembered, and the words are those of a client who waits."""
    door, to = Door(), model(STRICT)
    for _ in range(2):
        error = door.refused(to, **said("x"), seed=1)
        assert (error.param, "not supported by the model 'm'" in error.message) == ("seed", True)
    assert door.asked == 2


@pytest.mark.parametrize("arguments", ['{"a": 1}', "{"])
def test_arguments_are_read_when_the_target_reads_them(arguments: str) -> None:
    """llama.cpp fails at arguments of an earlier call that are no JSON: those are no mere words."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"b": 2}'}}
    turns = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "y"},
    ]
    door, to = Door(), model(ENGINE)
    door.check(to, messages=turns)
    other = {**call, "function": {"name": "f", "arguments": arguments}}
    turns = [turns[0], {"role": "assistant", "tool_calls": [other]}, turns[2]]
    if arguments == "{":
        assert "arguments" in str(door.refused(to, messages=turns).param)
    else:
        door.check(to, messages=turns)
    assert door.asked == 2


@pytest.mark.parametrize(
    "routes", [(route("any"),), (STRICT, route("any")), (route("far", "messages"), route("any"))]
)
def test_nothing_is_asked_when_a_target_takes_all(routes: tuple[Route, ...]) -> None:
    """One target without quirks that speaks the dialect is enough, wherever it stands."""
    door, to = Door(), model(*routes)
    door.check(to, **said("x"), seed=1, logit_bias={"1": 2})
    assert (door.asked, takes_all(to, CHAT)) == (0, True)


@pytest.mark.parametrize(
    ("to", "dialect"),
    [
        (model(STRICT), CHAT),
        (model(ENGINE), CHAT),
        (model(route("far", "messages")), CHAT),
        (model(route("own"), constitution="Be kind."), CHAT),
        (model(route("own", "responses"), account_ids="refuse"), RESPONSES),
    ],
)
def test_target_is_asked_when_it_may_refuse(to: Deployment, dialect: Dialect) -> None:
    """Quirks, grammars, translations, principles, ids of an account."""
    assert not takes_all(to, dialect)


def test_images_are_refused_when_no_target_reads_them() -> None:
    """In the words of a client who waits, whatever else a target takes."""
    door = Door()
    blind = replace(route("blind"), images="refuse")
    part = {"type": "image_url", "image_url": {"url": "https://a.org/b.png"}}
    error = door.refused(model(blind), messages=[{"role": "user", "content": [part]}])
    assert error.message == "model 'm' does not support image input"


@pytest.mark.parametrize(
    "fields",
    [
        {"input": "x", "previous_response_id": "resp_1"},
        {"input": "x", "conversation": "conv_1"},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]},
    ],
)
def test_nothing_is_asked_when_more_is_read_before_it_runs(fields: dict[str, Any]) -> None:
    """What files and earlier responses say is not here to be judged."""
    door = Door(RESPONSES)
    door.check(model(route("far")), **fields, top_logprobs=1)
    assert door.asked == 0


def test_shape_is_forgotten_when_there_are_too_many() -> None:
    """What is remembered of a batch is bounded, and one that is too large is asked each time."""
    door, to = Door(), model(STRICT)
    for number in range(MOST_SHAPES + 1):
        door.check(to, **said("x"), max_tokens=number + 1)
    asked = door.asked
    door.check(to, **said("x"), max_tokens=1)
    door.check(to, **said("x"), max_tokens=MOST_SHAPES + 1)
    assert (asked, door.asked) == (MOST_SHAPES + 1, MOST_SHAPES + 2)
    for _ in range(2):
        door.check(to, **said("x"), stop=["s" * LONGEST])
    assert door.asked == MOST_SHAPES + 4


NESTED = st.recursive(
    st.sampled_from(["", " ", "a", "b", None, True, 2]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "type"]), inner, max_size=2)
    ),
    max_leaves=6,
)


def blanked(held: Any, *, free: bool = True) -> Any:
    """What is said with every text in a free place as one of three."""
    if isinstance(held, str):
        return [type(None), held.strip() != "", held != ""] if free else held
    if isinstance(held, list):
        return ["list", *[blanked(each) for each in held]]
    if isinstance(held, dict):
        return {name: blanked(each, free=name == "text") for name, each in held.items()}
    return (type(held).__name__, held)


@settings(deadline=None)
@given(one=NESTED, other=NESTED)
def test_shapes_are_alike_only_when_all_but_words_is(one: Any, other: Any) -> None:
    """Neither nesting nor a missing member is lost in the flat form."""
    alike = shape_of({"input": one}) == shape_of({"input": other})
    assert alike == (repr(blanked(one)) == repr(blanked(other)))


def test_messages_are_translated_once_when_their_blocks_are_alike() -> None:
    """Blocks of text are one shape, whoever's they are; a tool that only a target could run is refused by its place."""
    door, to = Door(MESSAGES), model(route("far"))
    for number in range(5):
        block = {"type": "text", "text": f"text {number}"}
        door.check(
            to,
            max_tokens=9,
            messages=[{"role": "user", "content": [block]}],
            metadata={"user_id": f"u{number}"},
        )
    assert door.asked == 1
    tool = {"type": "web_search_20250305", "name": "web_search"}
    assert door.refused(to, **said("x"), max_tokens=9, tools=[tool]).param == "tools[0]"
