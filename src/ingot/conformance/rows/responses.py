"""Valar's responses. Rows S4-10 to S4-56."""

import asyncio
from typing import Any, Final

from ingot.conformance.examples import EFFORTS, PIXEL, SCHEMA
from ingot.conformance.record import Check, Failed, Row, Skipped, row
from ingot.conformance.rows.reference import VALAR
from ingot.conformance.subject import Subject
from ingot.conformance.trying import (
    PAUSES,
    absent,
    both,
    equal,
    excludes,
    expect,
    need,
    ok,
    refused,
    refuses,
    takes,
    turned_down,
    values,
)
from ingot.conformance.wire import Json

SURFACE: Final = "responses"
NEEDS: Final = (SURFACE,)
OVER: Final = frozenset({"completed", "failed", "cancelled", "incomplete"})

FUNCTION: Final[Json] = {
    "type": "function",
    "name": "look_up",
    "description": "Looks up a city.",
    "parameters": SCHEMA,
    "strict": True,
}
CUSTOM: Final[Json] = {"type": "custom", "name": "note", "description": "Takes a note."}
FORMAT: Final[Json] = {"format": {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}}
LOGPROBS: Final = "message.output_text.logprobs"

HOSTED: Final[dict[str, list[Json]]] = {
    "S4-35": [{"type": "web_search"}],
    "S4-36": [{"type": "file_search", "vector_store_ids": ["vs_1"]}],
    "S4-37": [{"type": "code_interpreter", "container": {"type": "auto"}}],
    "S4-38": [
        {"type": "computer_use_preview", "display_width": 800, "display_height": 600, "environment": "linux"},
        {"type": "computer_use"},
        {"type": "computer"},
    ],
    "S4-39": [{"type": "mcp", "server_label": "s", "server_url": "https://example.org/mcp"}],
    "S4-40": [{"type": "image_generation"}],
    "S4-41": [{"type": "shell"}],
    "S4-42": [{"type": "apply_patch"}],
}
PARTS: Final[dict[str, tuple[str, Json]]] = {
    "S4-43": ("audio", {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}),
    "S4-44": (
        "file",
        {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,SGk="},
    ),
}
INCLUDES: Final = {
    "S4-45": "reasoning.encrypted_content",
    "S4-46": "web_search_call.action.sources",
    "S4-47": "code_interpreter_call.outputs",
    "S4-48": "computer_call_output.output.image_url",
    "S4-49": "file_search_call.results",
}
REFUSED: Final[dict[str, Json]] = {
    "S4-31": {"instructions": "Be brief."},
    "S4-34": {"prompt": {"id": "pmpt_1"}},
}


def accepts(*requests: Json) -> Check:
    """Each is answered."""
    return takes(*requests, surface=SURFACE)


def rejects(*requests: Json, param: str | None = None) -> Check:
    """Each is refused."""
    return refuses(*requests, surface=SURFACE, param=param)


def lacks(*requests: Json) -> Check:
    """Each is refused, in whatever form."""
    return excludes(*requests, surface=SURFACE)


def turn(*parts: Json) -> list[Json]:
    """One message of the user."""
    return [{"role": "user", "content": [{"type": "input_text", "text": "Hello."}, *parts]}]


def output(kind: str, tools: list[Json], choice: Any) -> Check:
    """The answer has an item of this kind."""

    async def check(subject: Subject) -> None:
        fields = {"tools": tools, "tool_choice": choice, "input": "Look up Paris."}
        items = ok(await subject.ask(fields, surface=SURFACE)).get("output") or []
        expect(any(item.get("type") == kind for item in items), f"an item of type {kind}", items)

    return check


async def begun(subject: Subject) -> Json:
    """A response that runs in the background; it is accepted with 202."""
    answer = await subject.ask({"background": True}, surface=SURFACE)
    expect(answer.status == 202, "202 for background = true", answer)
    expect(answer.value.get("status") not in OVER, "a status that is not final", answer.value.get("status"))
    return answer.value


async def background(subject: Subject) -> None:
    """At once."""
    await begun(subject)


async def polled(subject: Subject) -> None:
    """Until it is completed."""
    path = f"/responses/{(await begun(subject)).get('id')}"
    for pause in PAUSES:
        found = ok(await subject.call("GET", path), f"GET {path}")
        if found.get("status") in OVER:
            equal("status", "completed", found.get("status"))
            return
        await asyncio.sleep(pause)
    raise Failed("a final status within a minute", str(found.get("status")))


def text_of(answer: Json) -> str:
    """The words of all messages."""
    items = [item for item in answer.get("output") or () if item.get("type") == "message"]
    return "".join(part.get("text", "") for item in items for part in item.get("content") or ())


async def routing_hint(subject: Subject) -> None:
    """With and without it the same shape comes back."""
    plain, hinted = [
        ok(await subject.ask(each, surface=SURFACE)) for each in ({}, {"prompt_cache_key": "probe"})
    ]
    kinds = [[item.get("type") for item in answer.get("output") or ()] for answer in (plain, hinted)]
    equal("kinds of output", kinds[0], kinds[1])
    expect(text_of(hinted), "a text", hinted.get("output"))


async def image(subject: Subject) -> None:
    """Read where the model can."""
    model = need(subject.means.image_model, "a model that reads images (--image-model)")
    fields = {"model": model, "input": turn({"type": "input_image", "image_url": PIXEL, "detail": "auto"})}
    ok(await subject.ask(fields, surface=SURFACE))


async def no_image(subject: Subject) -> None:
    """Refused where the model cannot."""
    model = need(subject.means.text_model, "a model that reads text only (--text-model)")
    fields = {"model": model, "input": turn({"type": "input_image", "image_url": PIXEL, "detail": "auto"})}
    refused(await subject.ask(fields, surface=SURFACE), f"an image for {model}")


async def logprobs(subject: Subject) -> None:
    """One for each token of the output, or none at all."""
    answer = ok(await subject.ask({"include": [LOGPROBS]}, surface=SURFACE))
    parts = [part for item in answer.get("output") or () for part in item.get("content") or ()]
    told = [part["logprobs"] for part in parts if part.get("logprobs")]
    if not told:
        raise Skipped("the backend gives no logprobs, which the row allows")
    counted = (answer.get("usage") or {}).get("output_tokens")
    equal("number of logprobs", counted, sum(map(len, told)))


async def whole_object(subject: Subject) -> None:
    """One JSON object."""
    answer = await subject.ask(surface=SURFACE)
    equal("content-type", "application/json", answer.content_type)
    equal("object", "response", ok(answer).get("object"))


async def not_deleted(subject: Subject) -> None:
    """Although it is there."""
    made = ok(await subject.ask(surface=SURFACE)).get("id")
    await absent("DELETE", f"/responses/{made}")(subject)


async def not_cancelled(subject: Subject) -> None:
    """Although it runs, or has just run."""
    made = (await begun(subject)).get("id")
    await absent("POST", f"/responses/{made}/cancel", body={})(subject)


async def not_continued(subject: Subject) -> None:
    """Although the response is there."""
    made = need(ok(await subject.ask(surface=SURFACE)).get("id"), "a response with an id")
    await turned_down(subject, {"previous_response_id": made}, surface=SURFACE, known=False)


async def no_conversation(subject: Subject) -> None:
    """Although it is there, where the server has any."""
    made = await subject.call("POST", "/conversations", {})
    name = made.value.get("id") if made.status == 200 else "conv_1"
    await turned_down(subject, {"conversation": name}, surface=SURFACE, known=False)


async def no_references(subject: Subject) -> None:
    """Although the item is there."""
    items = ok(await subject.ask(surface=SURFACE)).get("output") or [{}]
    name = need(items[-1].get("id"), "an item with an id")
    fields = {"input": [*turn(), {"type": "item_reference", "id": name}]}
    await turned_down(subject, fields, surface=SURFACE, known=False)


def tool_choices() -> list[Any]:
    """Three words and two names."""
    return [
        "none",
        "auto",
        "required",
        {"type": "function", "name": "look_up"},
        {"type": "custom", "name": "note"},
    ]


def own(row_id: str, says: str, check: Check) -> Row:
    """A row of this surface."""
    return row(row_id, VALAR, says, check, needs=NEEDS)


ROWS: Final[tuple[Row, ...]] = (
    own("S4-10", "input is text or an array of messages.", accepts({"input": "Hello."}, {"input": turn()})),
    own("S4-11", "max_output_tokens, temperature, top_p, user and prompt_cache_key are accepted.", accepts({"max_output_tokens": 64}, {"temperature": 0.5}, {"top_p": 0.5}, {"user": "u"}, {"prompt_cache_key": "k"})),
    own("S4-12", "text.format is text or json_schema.", values("text", [{"format": {"type": "text"}}, FORMAT], surface=SURFACE)),
    own("S4-13", "reasoning.effort is one of six words.", accepts(*({"reasoning": {"effort": each}} for each in EFFORTS))),
    own("S4-14", "reasoning.generate_summary is auto, concise or detailed.", accepts(*({"reasoning": {"generate_summary": each}} for each in ("auto", "concise", "detailed")))),
    own("S4-15", "Function tools are called.", output("function_call", [FUNCTION], "required")),
    own("S4-16", "Custom tools are called.", output("custom_tool_call", [CUSTOM], "required")),
    own("S4-17", "tool_choice takes three words and both kinds of tools by name.", accepts(*({"tools": [FUNCTION, CUSTOM], "tool_choice": each} for each in tool_choices()))),
    own("S4-18", "background: true is accepted with 202 at once.", background),
    own("S4-19", "A background response is polled until it is completed.", polled),
    own("S4-20", "prompt_cache_key does not change the result.", routing_hint),
    own("S4-21", "Images go to models that read them.", image),
    own("S4-22", "Images are refused for models that do not.", no_image),
    own("S4-23", "Logprobs of the output come one for each token, or not at all.", logprobs),
    own("S4-24", "include is an array of text, and values that nobody knows are tolerated.", both(rejects({"include": "x"}), accepts({"include": []}, {"include": ["message.input_image.image_url"]}))),
    own("S4-30", "stream: true is refused, false is not.", both(rejects({"stream": True}), accepts({"stream": False}))),
    *(own(row_id, f"{next(iter(fields))} is refused.", lacks(fields)) for row_id, fields in REFUSED.items()),
    own("S4-32", "previous_response_id is refused.", not_continued),
    own("S4-33", "conversation is refused.", no_conversation),
    *(own(row_id, f"The tool {tools[0]['type']} is refused.", lacks(*({"tools": [tool]} for tool in tools))) for row_id, tools in HOSTED.items()),
    *(own(row_id, f"Input with a part of {kind} is refused.", lacks({"input": turn(part)})) for row_id, (kind, part) in PARTS.items()),
    *(own(row_id, f"include with {name} is refused.", lacks({"include": [name]})) for row_id, name in INCLUDES.items()),
    own("S4-50", "truncation is disabled.", values("truncation", ["disabled"], ["auto"], surface=SURFACE)),
    own("S4-51", "parallel_tool_calls is refused, whatever it says.", lacks({"parallel_tool_calls": True}, {"parallel_tool_calls": False})),
    own("S4-52", "text.format json_object is refused.", lacks({"text": {"format": {"type": "json_object"}}})),
    own("S4-53", "service_tier is auto.", values("service_tier", ["auto"], ["default", "flex", "priority"], surface=SURFACE)),
    own("S4-54", "A response cannot be deleted.", not_deleted),
    own("S4-55", "A response cannot be cancelled.", not_cancelled),
    own("S4-56", "An answer is always one JSON object.", whole_object),
)  # fmt: skip
