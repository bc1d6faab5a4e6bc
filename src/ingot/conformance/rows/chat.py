"""Valar's chat completions, by its support page, and what it says of all surfaces. Rows S4-01 to S4-07, S4-60 to S4-104."""

from typing import Any, Final

from ingot.conformance.examples import (
    AUDIO,
    BY_NAME,
    CALLS,
    CUSTOM,
    CUSTOM_BY_NAME,
    EFFORTS,
    FORMATS,
    FUNCTION,
    REFERENCE,
    picture,
    says,
)
from ingot.conformance.record import Check, Row, Skipped, row
from ingot.conformance.rows.metask import one_choice
from ingot.conformance.rows.reference import VALAR, WINDOW, delivered
from ingot.conformance.subject import PATHS, Subject
from ingot.conformance.trying import (
    absent,
    both,
    choice_of,
    deltas_of,
    equal,
    equals,
    excludes,
    expect,
    message_of,
    need,
    ok,
    refused,
    shows,
    stream,
    streams,
    takes,
    values,
)
from ingot.conformance.wire import Json

INFERENCE: Final = ("chat", "responses", "messages")
OTHERS: Final = ("responses", "messages")
WINDOWS: Final = ("asap", "standard")

TURNS: Final[dict[str, Json]] = {
    "system": {"content": "Be brief."},
    "user": {"content": "Hello."},
    "assistant": {"content": "Hello."},
    "tool": {"content": "Rain.", "tool_call_id": "call_1"},
    "function": {"content": "Rain.", "name": "look_up"},
    "developer": {"content": "Be brief."},
}
REFUSED: Final = {
    "S4-82": "frequency_penalty",
    "S4-83": "presence_penalty",
    "S4-84": "logit_bias",
    "S4-85": "stop",
    "S4-86": "seed",
    "S4-87": "top_logprobs",
    "S4-88": "logprobs",
    "S4-89": "verbosity",
    "S4-90": "audio",
    "S4-92": "prediction",
    "S4-93": "web_search_options",
    "S4-96": "max_tokens",
    "S4-97": "functions",
    "S4-98": "function_call",
}


async def four_routes(subject: Subject) -> None:
    """All four read a request: one that says nothing is refused by each."""
    for surface in (*INFERENCE, "batches"):
        refused(await subject.call("POST", PATHS[surface], {}), f"an empty request to /v1{PATHS[surface]}")


async def one_model(subject: Subject) -> None:
    """One id, one window, three surfaces."""
    for surface in INFERENCE:
        ok(await subject.ask(WINDOW, surface=surface), f"{subject.model} on /v1{PATHS[surface]}")


async def only_chat_streams(subject: Subject) -> None:
    """The other two refuse to."""
    stream(await subject.ask({"stream": True}))
    for surface in OTHERS:
        refused(
            await subject.ask({"stream": True}, surface=surface),
            f"stream on /v1{PATHS[surface]}",
            param="stream",
        )


async def closing_usage(subject: Subject) -> None:
    """One chunk more, without choices."""
    chunks = stream(await subject.ask({"stream": True, "stream_options": {"include_usage": True}}))
    equal("choices of the last chunk", [], chunks[-1].get("choices"))
    expect(isinstance(chunks[-1].get("usage"), dict), "usage in the last chunk", chunks[-1])


async def two_windows(subject: Subject) -> None:
    """And no third one, whether or not others have it."""
    right, wrong = [
        [{"completion_window": name} for name in names] for names in (WINDOWS, ("flex", "tomorrow"))
    ]
    for surface in INFERENCE:
        if await subject.offers(surface):
            await values("metadata", right, wrong, surface=surface)(subject)


async def webhooks(subject: Subject) -> None:
    """On each surface that is there."""
    for surface in INFERENCE:
        await delivered(subject, surface)


async def always_stored(subject: Subject) -> None:
    """False is refused; what was asked can be read later where there is a page for it."""
    surfaces = ["chat", *(["responses"] if await subject.offers("responses") else ())]
    for surface in surfaces:
        await values("store", [True], [False], surface=surface)(subject)
    if "responses" in surfaces:
        made = ok(await subject.ask(surface="responses"))
        found = ok(await subject.call("GET", f"/responses/{made.get('id')}"), "the stored response")
        equal("id", made.get("id"), found.get("id"))


def called(kind: str, tools: list[Json], choice: Any) -> Check:
    """A tool that must be called is called, in the shape of its kind."""

    async def check(subject: Subject) -> None:
        answer = ok(await subject.ask({"tools": tools, "tool_choice": choice}))
        calls = message_of(answer).get("tool_calls") or []
        expect(calls and calls[0].get("type") == kind, f"a call of type {kind}", calls)
        expect(isinstance(calls[0].get(kind), dict), f"an object {kind} in the call", calls[0])

    return check


async def passed_through(subject: Subject) -> None:
    """Both values arrive where the backend can be seen."""
    for value in (True, False):
        words = subject.phrase()
        ok(await subject.ask({"messages": says(words), "tools": [FUNCTION], "parallel_tool_calls": value}))
        if subject.means.received is not None:
            bodies = subject.means.received(words)
            equal(
                "parallel_tool_calls at the backend",
                [value],
                [each.get("parallel_tool_calls") for each in bodies],
            )


async def reasoning_first(subject: Subject) -> None:
    """Where the model thinks aloud at all."""
    fields = {"messages": says("think: one step at a time. How much is 2+2?"), "stream": True}
    deltas = deltas_of(stream(await subject.ask(fields)))
    thoughts = [place for place, delta in enumerate(deltas) if delta.get("reasoning_content")]
    texts = [place for place, delta in enumerate(deltas) if delta.get("content")]
    if not thoughts:
        strange = sorted({name for delta in deltas for name in delta if "reason" in name and delta[name]})
        expect(not strange, "reasoning as delta.reasoning_content", strange)
        raise Skipped("the model did not think aloud")
    expect(
        texts and max(thoughts) < min(texts),
        "reasoning before content",
        {"thoughts": thoughts, "texts": texts[:3]},
    )


async def whole_calls(subject: Subject) -> None:
    """No call is begun twice, and each has its arguments at once."""
    deltas = deltas_of(stream(await subject.ask({"stream": True, **CALLS})))
    pieces = [call for delta in deltas for call in delta.get("tool_calls") or ()]
    expect(pieces, "a tool call", deltas[-1:])
    places = [piece.get("index") for piece in pieces]
    expect(len(places) == len(set(places)), "each tool call in one chunk", f"{len(pieces)} pieces")
    for piece in pieces:
        arguments = (piece.get("function") or {}).get("arguments")
        expect(arguments and piece.get("id"), "id and arguments in the chunk", piece)


async def images(subject: Subject) -> None:
    """Read by models that can, refused for those that cannot."""
    can = need(subject.means.image_model, "a model that reads images (--image-model)")
    cannot = need(subject.means.text_model, "a model that reads text only (--text-model)")
    ok(await subject.ask({"model": can, "messages": picture()}), f"an image for {can}")
    refused(await subject.ask({"model": cannot, "messages": picture()}), f"an image for {cannot}")


async def nothing_stored(subject: Subject) -> None:
    """Neither a list nor a completion that was just made."""
    made = ok(await subject.ask()).get("id")
    one = f"/chat/completions/{made}"
    await absent("GET", "/chat/completions", one, f"{one}/messages")(subject)
    await absent("POST", one, body={"metadata": {"team": "blue"}})(subject)
    await absent("DELETE", one)(subject)


async def finish_reasons(subject: Subject) -> None:
    """Also where the answer was cut."""
    cut = ok(await subject.ask({"messages": says("words: 50"), "max_completion_tokens": 3}))
    whole = ok(await subject.ask())
    seen = [choice_of(answer).get("finish_reason") for answer in (cut, whole)]
    equal("finish reasons", ["stop", "stop"], seen)


def without(name: str) -> Check:
    """A key that neither answers nor chunks have."""

    async def check(subject: Subject) -> None:
        answer = ok(await subject.ask())
        chunks = stream(await subject.ask({"stream": True}))
        expect(not any(name in each for each in (answer, *chunks)), f"no {name}", f"{name} is there")

    return check


async def null_logprobs(subject: Subject) -> None:
    """In answers and in chunks."""
    chunks = stream(await subject.ask({"stream": True}))
    answers = [ok(await subject.ask()), *(chunk for chunk in chunks if choice_of(chunk))]
    told = [choice_of(each).get("logprobs", "not there") for each in answers]
    expect(
        all(each is None for each in told),
        "logprobs null everywhere",
        next((x for x in told if x is not None), ""),
    )


CHOICES: Final = ["none", "auto", "required", BY_NAME, CUSTOM_BY_NAME]

ROWS: Final[tuple[Row, ...]] = (
    row("S4-01", VALAR, "There are responses, chat completions, messages and batches.", four_routes),
    row("S4-02", VALAR, "The same models and windows serve all three inference surfaces.", one_model, needs=OTHERS),
    row("S4-03", VALAR, "Chat alone streams; the other two refuse stream: true.", only_chat_streams, needs=OTHERS),
    row("S4-04", VALAR, "include_usage adds a closing chunk with usage.", closing_usage),
    row("S4-05", VALAR, "metadata.completion_window is asap or standard.", two_windows),
    row("S4-06", VALAR, "metadata.completion_webhook is called on each surface.", webhooks, needs=OTHERS),
    row("S4-07", VALAR, "Answers are always stored: store: false is refused.", always_stored),
    row("S4-60", VALAR, "model, messages, max_completion_tokens, temperature, top_p and user are accepted.", takes(*(REFERENCE[name] for name in ("max_completion_tokens", "temperature", "top_p", "user")))),
    row("S4-61", VALAR, "Six roles are accepted.", takes(*({"messages": [{"role": role, **rest}]} for role, rest in TURNS.items()))),
    row("S4-62", VALAR, "Three response formats are accepted.", values("response_format", FORMATS)),
    row("S4-63", VALAR, "Six efforts are accepted.", values("reasoning_effort", EFFORTS, ["max"])),
    row("S4-64", VALAR, "Function tools are called.", called("function", [FUNCTION], "required")),
    row("S4-65", VALAR, "Custom tools are called.", called("custom", [CUSTOM], "required")),
    row("S4-66", VALAR, "tool_choice takes three words and both kinds of tools by name.", takes(*({"tools": [FUNCTION, CUSTOM], "tool_choice": each} for each in CHOICES))),
    row("S4-67", VALAR, "parallel_tool_calls is passed through to the backend.", passed_through),
    row("S4-68", VALAR, "metadata takes pairs of text, the window and the webhook among them.", takes({"metadata": {"team": "blue", "completion_window": "standard", "completion_webhook": "https://example.org/hook"}})),
    row("S4-69", VALAR, "stream: true makes events, and false makes none.", both(streams(), takes({"stream": False}))),
    row("S4-70", VALAR, "Reasoning is streamed as delta.reasoning_content, before the content.", reasoning_first),
    row("S4-71", VALAR, "Each streamed tool call comes in one chunk.", whole_calls),
    row("S4-72", VALAR, "Images go to models that read them; others refuse them.", images),
    row("S4-80", VALAR, "n must be 1.", values("n", [1], [2])),
    row("S4-81", VALAR, "Parts of the type input_audio are refused.", excludes({"messages": [{"role": "user", "content": [{"type": "text", "text": "Listen."}, AUDIO]}]})),
    *(
        row(row_id, VALAR, f"{name} is refused.", excludes({name: 3} if name == "top_logprobs" else {name: REFERENCE[name][name]}))
        for row_id, name in REFUSED.items()
    ),
    row("S4-91", VALAR, "modalities with audio is refused.", excludes({"modalities": ["audio"]})),
    row("S4-94", VALAR, "service_tier is auto.", values("service_tier", ["auto"], ["default", "flex", "priority"])),
    row("S4-95", VALAR, "Stored completions can neither be listed, read, changed nor deleted.", nothing_stored),
    row("S4-100", VALAR, "There is exactly one choice.", shows("one choice", one_choice)),
    row("S4-101", VALAR, "finish_reason is stop or tool_calls, also where an answer was cut.", both(finish_reasons, equals("choices.0.finish_reason", "tool_calls", CALLS))),
    row("S4-102", VALAR, "There is no system_fingerprint.", without("system_fingerprint")),
    row("S4-103", VALAR, "There is no service_tier.", without("service_tier")),
    row("S4-104", VALAR, "logprobs are always null.", null_logprobs),
)  # fmt: skip
