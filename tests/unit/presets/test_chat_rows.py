"""The rows of the four systems about fields of a chat request, under their presets. One test a row."""

from typing import Any

import pytest

from ruled import GONE, ask, body_of, refusal

FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}
CUSTOM = {"type": "custom", "custom": {"name": "c"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}
# Every field of OpenAI's reference that a request may have beside `model` and `messages`.
REFERENCE: dict[str, Any] = {
    "audio": {"format": "wav", "voice": "alloy"},
    "frequency_penalty": 0.5,
    "function_call": "auto",
    "functions": [{"name": "f"}],
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "max_completion_tokens": 64,
    "max_tokens": 64,
    "metadata": {"a": "b"},
    "modalities": ["text"],
    "n": 2,
    "parallel_tool_calls": True,
    "prediction": {"type": "content", "content": "x"},
    "presence_penalty": 0.5,
    "prompt_cache_key": "k",
    "reasoning_effort": "low",
    "response_format": {"type": "json_object"},
    "safety_identifier": "s",
    "seed": 7,
    "service_tier": "flex",
    "stop": ["x"],
    "store": False,
    "stream": True,
    "temperature": 0.5,
    "tool_choice": "auto",
    "tools": [FUNCTION],
    "top_p": 0.5,
    "user": "u",
    "verbosity": "low",
    "web_search_options": {},
}


def kept(preset: str, fields: dict[str, Any]) -> bool:
    """Whether these fields reach the target as they came."""
    return body_of(ask(preset, fields)).items() >= fields.items()


# ---- valley


@pytest.mark.parametrize("field", ["temperature", "top_p", "max_tokens", "stop", "logprobs"])
def test_s0_10_usual_parameters_are_honoured(field: str) -> None:
    """Each reaches the target."""
    assert kept("valley", {field: REFERENCE[field]})


@pytest.mark.parametrize("field", sorted(REFERENCE))
def test_s0_11_every_parameter_is_supported(field: str) -> None:
    """Each field of OpenAI's reference reaches the target."""
    assert kept("valley", {field: REFERENCE[field]})


# ---- aurora


def test_s1_13_model_is_required() -> None:
    """A string."""
    assert refusal("aurora", {"model": GONE}).param == "model"
    assert refusal("aurora", {"model": None}).param == "model"
    assert refusal("aurora", {"model": 5}).param == "model"


def test_s1_14_messages_are_required() -> None:
    """An array of objects with role and content."""
    assert refusal("aurora", {"messages": GONE}).param == "messages"
    assert refusal("aurora", {"messages": [{"role": "user"}]}).param == "messages[0].content"
    assert refusal("aurora", {"messages": [{"content": "Hi"}]}).param == "messages[0].role"


def test_s1_15_max_tokens_is_1024_where_not_given() -> None:
    """A bound under its newer name counts as given."""
    assert ask("aurora", {}).max_tokens == 1024
    assert body_of(ask("aurora", {"max_tokens": None}))["max_tokens"] == 1024
    assert ask("aurora", {"max_tokens": 5}).max_tokens == 5
    assert "max_tokens" not in body_of(ask("aurora", {"max_completion_tokens": 9}))


@pytest.mark.parametrize(("value", "right"), [(0, True), (2, True), (1, True), (-0.1, False), (2.1, False)])
def test_s1_16_temperature_is_from_0_to_2(value: float, right: bool) -> None:  # noqa: FBT001  # a table's column
    """Both ends included."""
    if right:
        assert kept("aurora", {"temperature": value})
    else:
        assert refusal("aurora", {"temperature": value}).param == "temperature"


def test_s1_17_system_text_is_the_first_message() -> None:
    """It reaches the target as a system message, and under no other name."""
    sent = body_of(ask("aurora", {"system": "Be brief."}))
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
    ]
    assert "system" not in sent
    assert refusal("aurora", {"system": ["Be brief."]}).param == "system"


def test_s1_22_streams_are_not_there_yet() -> None:
    """`true` is refused, `false` is what everybody gets; the second version has streams."""
    assert refusal("aurora", {"stream": True}).param == "stream"
    assert kept("aurora", {"stream": False})
    assert ask("aurora-v2", {"stream": True}).stream


# ---- metask


@pytest.mark.parametrize(("value", "right"), [(0, True), (1.9, True), (2, True), (2.1, False), (-0.1, False)])
def test_s2_07_temperature_is_from_0_to_2(value: float, right: bool) -> None:  # noqa: FBT001  # a table's column
    """Above 1.5 too."""
    if right:
        assert kept("metask", {"temperature": value})
    else:
        assert refusal("metask", {"temperature": value}).param == "temperature"


def test_s2_08_max_tokens_has_no_default() -> None:
    """Given it reaches the target, otherwise the model's own limit counts."""
    assert "max_tokens" not in body_of(ask("metask", {}))
    assert ask("metask", {"max_tokens": 7}).max_tokens == 7
    assert refusal("metask", {"max_tokens": 0}).param == "max_tokens"


@pytest.mark.parametrize(("value", "right"), [(0, True), (1, True), (1.1, False)])
def test_s2_09_top_p_is_from_0_to_1(value: float, right: bool) -> None:  # noqa: FBT001  # a table's column
    """Both ends included."""
    if right:
        assert kept("metask", {"top_p": value})
    else:
        assert refusal("metask", {"top_p": value}).param == "top_p"


def test_s2_10_temperature_and_top_p_go_together() -> None:
    """Advised against, and no error."""
    assert kept("metask", {"temperature": 1, "top_p": 0.5})


# ---- valar: the chat reference

SEVERAL: dict[str, dict[str, tuple[list[Any], list[Any]]]] = {
    "s3_07": {"temperature": ([None, 0, 2], [-0.1, 2.1])},
    "s3_08": {"top_p": ([None, 0, 1], [1.1])},
    "s3_09": {"max_completion_tokens": ([None, 1], [0, 1.5])},
    "s3_10": {"response_format": ([{"type": "text"}], ["text"])},
    "s3_11": {
        "reasoning_effort": ([None, "none", "minimal", "low", "medium", "high", "xhigh"], ["max", "best"])
    },
    "s3_12": {"n": ([1], [2, 0])},
    "s3_13": {"modalities": ([["text"]], [[], ["audio"], ["text", "audio"]])},
    "s3_17": {"store": ([True], [False])},
    "s3_18": {"user": (["u" * 256], ["u" * 257])},
    "s3_19": {"metadata": ([{"a": "b"}], [{"a": 1}, {"a": None}])},
    "s4_63": {"reasoning_effort": (["none", "minimal", "low", "medium", "high", "xhigh"], ["max"])},
    "s4_80": {"n": ([1], [2])},
    "s4_91": {"modalities": ([["text"]], [["audio"]])},
    "s4_94": {"service_tier": (["auto"], ["default", "flex", "priority", "scale", "fast"])},
}


@pytest.mark.parametrize(("row", "field"), [(row, field) for row in SEVERAL for field in SEVERAL[row]])
def test_s3_s4_values(row: str, field: str) -> None:
    """S3-07 to S3-13, S3-17 to S3-19, S4-63, S4-80, S4-91, S4-94: these values pass, those are refused."""
    right, wrong = SEVERAL[row][field]
    for value in right:
        assert kept("valar", {field: value}), value
    for value in wrong:
        error = refusal("valar", {field: value})
        assert (error.param or "").startswith(field), value


def test_s3_05_model_is_required() -> None:
    """A string."""
    assert refusal("valar", {"model": GONE}).param == "model"


def test_s3_06_messages_are_required() -> None:
    """At least one."""
    assert refusal("valar", {"messages": GONE}).param == "messages"
    assert refusal("valar", {"messages": []}).param == "messages"


def test_s3_14_streams_are_there() -> None:
    """`true` asks for one."""
    assert ask("valar", {"stream": True}).stream
    assert refusal("valar", {"stream": "yes"}).param == "stream"


def test_s3_16_stream_options_count_for_streams_only() -> None:
    """Without a stream they are ignored, not refused."""
    options = {"stream_options": {"include_usage": True}}
    assert ask("valar", {"stream": True, **options}).wants_usage
    for plain in ({}, {"stream": False}, {"stream": None}):
        assert "stream_options" not in body_of(ask("valar", {**plain, **options}))


def test_s3_20_completion_window_is_accepted() -> None:
    """In the metadata, as is S3-21's webhook with its token."""
    window = {"completion_window": "asap", "completion_webhook": "https://a.example", "webhook_token": "t"}
    assert kept("valar", {"metadata": window})


# ---- valar: the support page


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_completion_tokens", 9), ("temperature", 0.5), ("top_p", 0.5), ("user", "u"), ("model", "m")],
)
def test_s4_60_plain_fields_are_accepted(field: str, value: Any) -> None:
    """Each reaches the target."""
    assert kept("valar", {field: value})


@pytest.mark.parametrize(
    "message",
    [
        {"role": "system", "content": "x"},
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "x"},
        {"role": "tool", "content": "x", "tool_call_id": "t"},
        {"role": "function", "content": "x", "name": "f"},
        {"role": "developer", "content": "x"},
    ],
)
def test_s4_61_roles_are_accepted(message: dict[str, Any]) -> None:
    """All six."""
    assert kept("valar", {"messages": [message]})


@pytest.mark.parametrize("form", [{"type": "text"}, {"type": "json_object"}, SCHEMA])
def test_s4_62_response_formats_are_accepted(form: dict[str, Any]) -> None:
    """All three."""
    assert kept("valar", {"response_format": form})


@pytest.mark.parametrize(("row", "tool"), [("s4_64", FUNCTION), ("s4_65", CUSTOM)])
def test_s4_64_65_tools_are_accepted(row: str, tool: dict[str, Any]) -> None:
    """S4-64 functions, S4-65 custom tools."""
    assert row
    assert kept("valar", {"tools": [tool]})


@pytest.mark.parametrize(
    "choice",
    [
        "none",
        "auto",
        "required",
        {"type": "function", "function": {"name": "f"}},
        {"type": "custom", "custom": {"name": "c"}},
    ],
)
def test_s4_66_tool_choices_are_accepted(choice: Any) -> None:
    """By word and by name."""
    assert kept("valar", {"tools": [FUNCTION, CUSTOM], "tool_choice": choice})


@pytest.mark.parametrize("value", [True, False])
def test_s4_67_parallel_tool_calls_pass_on(value: bool) -> None:  # noqa: FBT001  # a table's column
    """The target sees the value."""
    assert kept("valar", {"tools": [FUNCTION], "parallel_tool_calls": value})


def test_s4_68_metadata_is_accepted() -> None:
    """Pairs of strings."""
    assert kept("valar", {"metadata": {"completion_window": "standard", "team": "blue"}})


def test_s4_69_streams_are_accepted() -> None:
    """`true` asks for one, and clients that send `false` get none."""
    assert ask("valar", {"stream": True}).stream
    assert not ask("valar", {"stream": False}).stream


def test_s4_81_audio_parts_are_refused() -> None:
    """Wherever in the messages they stand."""
    turn = {"role": "user", "content": [{"type": "text", "text": "Listen:"}, AUDIO]}
    assert refusal("valar", {"messages": [turn]}).param == "messages[0].content[1].type"


REFUSED = {
    "s4_82": "frequency_penalty",
    "s4_83": "presence_penalty",
    "s4_84": "logit_bias",
    "s4_85": "stop",
    "s4_86": "seed",
    "s4_87": "top_logprobs",
    "s4_88": "logprobs",
    "s4_89": "verbosity",
    "s4_90": "audio",
    "s4_92": "prediction",
    "s4_93": "web_search_options",
    "s4_96": "max_tokens",
    "s4_97": "functions",
    "s4_98": "function_call",
}


@pytest.mark.parametrize(("row", "field"), REFUSED.items())
def test_s4_82_to_98_fields_are_refused(row: str, field: str) -> None:
    """S4-82 to S4-90, S4-92, S4-93, S4-96 to S4-98: the error names the field; `open` takes it."""
    value = 3 if field == "top_logprobs" else REFERENCE[field]
    error = refusal("valar", {field: value})
    assert (error.param, error.code) == (field, "unsupported_parameter"), row
    beside = {"logprobs": True} if field == "top_logprobs" else {}
    assert kept("open", {field: value, **beside})
