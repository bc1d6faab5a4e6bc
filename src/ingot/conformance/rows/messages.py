"""Valar's messages, a beta. Rows S4-110 to S4-146."""

from typing import Final

from ingot.conformance.examples import SCHEMA
from ingot.conformance.record import Check, Row, row
from ingot.conformance.rows.reference import VALAR
from ingot.conformance.subject import NO_KEY, Subject
from ingot.conformance.trying import (
    absent,
    both,
    equal,
    equals,
    excludes,
    expect,
    need,
    ok,
    refused,
    takes,
    values,
)
from ingot.conformance.wire import Json

SURFACE: Final = "messages"
NEEDS: Final = (SURFACE,)
PNG: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TOOL: Final[Json] = {"name": "look_up", "description": "Looks up a city.", "input_schema": SCHEMA}
FORMAT: Final[Json] = {"format": {"type": "json_schema", "schema": SCHEMA}}
IMAGE: Final[Json] = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
DOCUMENT: Final[Json] = {
    "type": "document",
    "source": {"type": "text", "media_type": "text/plain", "data": "Hi"},
}
RESULT: Final[Json] = {
    "messages": [
        {"role": "user", "content": "Hello."},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"city": "Paris"}}],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "Rain."}],
        },
    ],
    "tools": [TOOL],
}
"""A request that is right wherever results are taken."""
REFUSED: Final[dict[str, Json]] = {
    "S4-121": {"system": "Be brief."},
    "S4-122": {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2048},
    "S4-123": {"stop_sequences": ["###"]},
    "S4-124": {"top_k": 5},
    "S4-127": {"service_tier": "auto"},
    "S4-128": {"inference_geo": "us"},
}
PUZZLE: Final = (
    "A bat and a ball cost 1.10 together, the bat 1.00 more than the ball. Think: what is the ball?"
)
CACHES: Final = ("cache_creation_input_tokens", "cache_read_input_tokens")


def turn(*blocks: Json) -> list[Json]:
    """One message of the user."""
    return [{"role": "user", "content": [{"type": "text", "text": "Hello."}, *blocks]}]


def rejects(*requests: Json) -> Check:
    """Each is refused, in whatever form."""
    return excludes(*requests, surface=SURFACE)


async def images(subject: Subject) -> None:
    """Read by models that can, refused for those that cannot."""
    can = need(subject.means.image_model, "a model that reads images (--image-model)")
    cannot = need(subject.means.text_model, "a model that reads text only (--text-model)")
    ok(await subject.ask({"model": can, "messages": turn(IMAGE)}, surface=SURFACE), f"an image for {can}")
    refused(
        await subject.ask({"model": cannot, "messages": turn(IMAGE)}, surface=SURFACE),
        f"an image for {cannot}",
    )


async def tools_ignored(subject: Subject) -> None:
    """The model never sees them, so that it cannot call one."""
    words = subject.phrase()
    fields = {
        "messages": [{"role": "user", "content": words}],
        "tools": [TOOL],
        "tool_choice": {"type": "tool", "name": "look_up"},
    }
    answer = ok(await subject.ask(fields, surface=SURFACE))
    kinds = [block.get("type") for block in answer.get("content") or ()]
    equal("kinds of blocks", ["text"], kinds)
    # A call that is taken out of the answer leaves no words.
    expect(answer["content"][0].get("text"), "words", answer["content"])
    if subject.means.received is not None:
        seen = [body.get("tools") for body in subject.means.received(words)]
        equal("tools at the backend", [None], seen)


async def bearer_only(subject: Subject) -> None:
    """x-api-key alone is not read."""
    ok(await subject.ask(surface=SURFACE), "a bearer token")
    answer = await subject.ask(surface=SURFACE, key=NO_KEY, headers={"x-api-key": subject.key})
    refused(answer, "x-api-key alone", status=401)


async def any_version(subject: Subject) -> None:
    """Absent, known or nonsense."""
    for version in (None, "2023-06-01", "yesterday"):
        headers = {} if version is None else {"anthropic-version": version}
        ok(await subject.ask(surface=SURFACE, headers=headers), f"anthropic-version {version}")


async def sdk(subject: Subject) -> None:
    """With the headers of Anthropic's Python client."""
    headers = {
        "user-agent": "Anthropic/Python 2.11.0",
        "anthropic-version": "2026-10-21",
        "x-stainless-lang": "python",
        "x-stainless-retry-count": "0",
    }
    equal("type", "message", ok(await subject.ask(surface=SURFACE, headers=headers)).get("type"))


async def envelope(subject: Subject) -> None:
    """OpenAI's."""
    answer = await subject.ask({"messages": []}, surface=SURFACE)
    error = refused(answer, "no messages")
    expect(error.get("type"), "error.message and error.type", answer)
    expect("type" not in answer.value, "no type beside the error", answer.value)


async def no_cache_counts(subject: Subject) -> None:
    """Not even as zero."""
    usage = ok(await subject.ask(surface=SURFACE)).get("usage") or {}
    expect(not any(name in usage for name in CACHES), "no counts of caches", usage)


async def one_block(subject: Subject) -> None:
    """Of text, also where the model thinks first."""
    for prompt in filter(None, ("Say hello.", PUZZLE, subject.means.thinking_prompt)):
        fields = {"messages": [{"role": "user", "content": prompt}]}
        content = ok(await subject.ask(fields, surface=SURFACE)).get("content")
        right = isinstance(content, list) and [block.get("type") for block in content] == ["text"]
        expect(right, "one block of text", content)


def own(row_id: str, says: str, check: Check) -> Row:
    """A row of this surface."""
    return row(row_id, VALAR, says, check, needs=NEEDS)


ROWS: Final[tuple[Row, ...]] = (
    own("S4-110", "model, max_tokens and messages are accepted.", takes({}, surface=SURFACE)),
    own("S4-111", "temperature and top_p go from 0 to 1.", both(values("temperature", [0, 1], [-0.1, 1.1], surface=SURFACE), values("top_p", [0, 1], [-0.1, 1.1], surface=SURFACE))),
    own("S4-112", "output_config.format takes json_schema.", takes({"output_config": FORMAT}, surface=SURFACE)),
    own("S4-113", "metadata takes pairs of text, the window and the webhook among them.", takes({"metadata": {"team": "blue", "completion_window": "asap", "completion_webhook": "https://example.org/hook"}}, surface=SURFACE)),
    own("S4-114", "Images go to models that read them; others refuse them.", images),
    own("S4-115", "tools and tool_choice are accepted and ignored.", tools_ignored),
    own("S4-120", "stream: true is refused, false is not.", both(rejects({"stream": True}), takes({"stream": False}, surface=SURFACE))),
    *(own(row_id, f"{next(iter(fields))} is refused.", rejects(fields)) for row_id, fields in REFUSED.items()),
    own("S4-125", "Blocks of documents are refused.", rejects({"messages": turn(DOCUMENT)})),
    own("S4-126", "Blocks with results of tools are refused.", rejects(RESULT)),
    own("S4-129", "Tokens are not counted.", absent("POST", "/messages/count_tokens", body={"model": "m", "messages": []})),
    own("S4-130", "There are no batches of messages.", both(absent("POST", "/messages/batches", body={"requests": []}), absent("GET", "/messages/batches", "/messages/batches/msgbatch_1", "/messages/batches/msgbatch_1/results"))),
    own("S4-140", "stop_reason is always end_turn, also where an answer was cut.", equals("stop_reason", "end_turn", {"max_tokens": 3, "messages": [{"role": "user", "content": "words: 50"}]}, surface=SURFACE)),
    own("S4-141", "content is one block of text, also of a model that thinks.", one_block),
    own("S4-142", "usage has no counts of caches.", no_cache_counts),
    own("S4-143", "A bearer token is let in, x-api-key alone is not.", bearer_only),
    own("S4-144", "Anthropic's client works with a bearer token.", sdk),
    own("S4-145", "anthropic-version is neither required nor looked at.", any_version),
    own("S4-146", "Errors have OpenAI's envelope here too.", envelope),
)  # fmt: skip
