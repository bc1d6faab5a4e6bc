"""Stored completions, embeddings and legacy completions as OpenAI's clients use them. Rows P-01 to P-10; contract §1, §2, §4."""

import base64
import struct
from typing import Final

from ingot.conformance.examples import says
from ingot.conformance.record import Check, Row, Skipped, row
from ingot.conformance.subject import GONE, NO_KEY, Subject
from ingot.conformance.trying import (
    both,
    choice_of,
    equal,
    expect,
    message_of,
    ok,
    refused,
    refuses,
    stream,
    takes,
)
from ingot.conformance.wire import Json

STORED: Final = ("open", "valley")
OPEN: Final = "open"
PATH: Final = "/chat/completions"
PAGE: Final = ("object", "data", "first_id", "last_id", "has_more")
INPUTS: Final = 2048


async def kept(subject: Subject, team: str = "probe") -> Json:
    """A completion that was asked to be stored."""
    return ok(
        await subject.ask({"store": True, "metadata": {"team": team}, "messages": says(subject.phrase())})
    )


async def listed(subject: Subject) -> None:
    """A page with cursors, which go on where they say."""
    for _ in range(2):
        await kept(subject)
    first = ok(await subject.call("GET", f"{PATH}?limit=1&order=desc"))
    missing = [name for name in PAGE if name not in first]
    expect(not missing, "a page of a list", f"without {', '.join(missing)}")
    equal("object", "list", first["object"])
    expect(first["has_more"] is True, "more behind a page of one", first["has_more"])
    second = ok(await subject.call("GET", f"{PATH}?limit=1&order=desc&after={first['last_id']}"))
    expect(second["first_id"] != first["last_id"], "another completion after the cursor", second["first_id"])
    for query in ("limit=0", "order=up"):
        refused(await subject.call("GET", f"{PATH}?{query}"), query, param=query.partition("=")[0])


async def filtered(subject: Subject) -> None:
    """By metadata in brackets, and by model."""
    made = await kept(subject, team := subject.phrase()[-12:])
    found = ok(
        await subject.call(
            "GET", f"{PATH}?metadata%5Bteam%5D={team}&model={made['model'].replace('/', '%2F')}"
        )
    )
    equal("ids", [made["id"]], [each.get("id") for each in found.get("data", [])])


async def read(subject: Subject) -> None:
    """As it was given, with its metadata."""
    made = await kept(subject)
    found = ok(await subject.call("GET", f"{PATH}/{made['id']}"))
    equal("content", message_of(made).get("content"), message_of(found).get("content"))
    equal("metadata", {"team": "probe"}, found.get("metadata"))
    refused(await subject.call("GET", f"{PATH}/chatcmpl-none"), "an unknown id", status=404)
    refused(await subject.call("GET", f"{PATH}/{made['id']}", key=NO_KEY), "no key", status=401)


async def messages(subject: Subject) -> None:
    """What was asked."""
    made = await kept(subject)
    found = ok(await subject.call("GET", f"{PATH}/{made['id']}/messages"))
    roles = [each.get("role") for each in found.get("data", [])]
    equal("roles", ["user"], roles)


async def relabelled(subject: Subject) -> None:
    """Metadata alone can be changed."""
    made = await kept(subject)
    found = ok(await subject.call("POST", f"{PATH}/{made['id']}", {"metadata": {"team": "red"}}))
    equal("metadata", {"team": "red"}, found.get("metadata"))
    refused(
        await subject.call("POST", f"{PATH}/{made['id']}", {"metadata": {"team": 5}}),
        "metadata",
        param="metadata",
    )


async def deleted(subject: Subject) -> None:
    """Gone for good."""
    made = await kept(subject)
    found = ok(await subject.call("DELETE", f"{PATH}/{made['id']}"))
    wanted = {"id": made["id"], "object": "chat.completion.deleted", "deleted": True}
    equal("answer", wanted, {name: found.get(name) for name in wanted})
    refused(await subject.call("GET", f"{PATH}/{made['id']}"), "a deleted completion", status=404)


def embedding(subject: Subject) -> None:
    """Skips where no model is known for them."""
    if subject.means.embeddings_model is None:
        raise Skipped("needs a model for embeddings (--embeddings-model)")


async def vectors(subject: Subject) -> None:
    """The same figures as numbers and as base64 of little-endian single precision."""
    embedding(subject)
    floats = ok(await subject.ask({"encoding_format": "float"}, surface="embeddings"))
    packed = ok(await subject.ask({"encoding_format": "base64"}, surface="embeddings"))
    equal("object", "list", floats.get("object"))
    values = floats["data"][0]["embedding"]
    raw = base64.b64decode(packed["data"][0]["embedding"])
    unpacked = struct.unpack(f"<{len(raw) // 4}f", raw)
    near = len(values) == len(unpacked) and all(
        abs(a - b) < 1e-4 for a, b in zip(values, unpacked, strict=True)
    )
    expect(near, "the same figures in both forms", {"numbers": values[:2], "base64": list(unpacked[:2])})
    expect((floats.get("usage") or {}).get("prompt_tokens"), "usage", floats.get("usage"))


def of_embeddings(check: Check) -> Check:
    """The check, where a model is known for embeddings."""

    async def checked(subject: Subject) -> None:
        embedding(subject)
        await check(subject)

    return checked


async def several_inputs(subject: Subject) -> None:
    """One vector each, in order."""
    answer = ok(await subject.ask({"input": ["one", "two", "three"]}, surface="embeddings"))
    equal("indexes", [0, 1, 2], [each.get("index") for each in answer.get("data", [])])


async def completion(subject: Subject) -> None:
    """Whole and streamed."""
    answer = ok(await subject.ask(surface="completions"))
    equal("object", "text_completion", answer.get("object"))
    expect(isinstance(choice_of(answer).get("text"), str), "choices[0].text", choice_of(answer))
    chunks = stream(await subject.ask({"stream": True}, surface="completions"))
    expect("".join(choice_of(chunk).get("text") or "" for chunk in chunks), "text in the stream", chunks[:1])


INPUTS_CHECK: Final = both(
    several_inputs,
    takes({"input": [1, 2, 3]}, {"input": [[1, 2], [3]]}, surface="embeddings"),
    refuses(
        {"input": ""}, {"input": []}, {"input": ["x"] * (INPUTS + 1)}, {"input": GONE}, surface="embeddings"
    ),
    refuses({"encoding_format": "int8"}, {"dimensions": 0}, surface="embeddings"),
)
PROMPTS_CHECK: Final = both(
    takes({"prompt": ["one", "two"]}, {"n": 2}, {"echo": True}, {"logprobs": 2}, surface="completions"),
    refuses({"prompt": GONE}, {"n": 0}, {"logprobs": 6}, {"temperature": 3}, surface="completions"),
)

ROWS: Final[tuple[Row, ...]] = (
    row("P-01", STORED, "Stored completions are listed in pages with cursors.", listed),
    row("P-02", STORED, "They are found by metadata in brackets and by model.", filtered),
    row("P-03", STORED, "One is read by its id, by nobody without a key.", read),
    row("P-04", STORED, "Its messages are those that were asked.", messages),
    row("P-05", STORED, "Its metadata can be changed.", relabelled),
    row("P-06", STORED, "It can be deleted.", deleted),
    row("P-07", OPEN, "Embeddings come as numbers and as base64.", vectors),
    row("P-08", OPEN, "Embeddings take texts, lists of texts and tokens.", of_embeddings(INPUTS_CHECK)),
    row("P-09", OPEN, "Legacy completions come whole and streamed.", completion),
    row("P-10", OPEN, "Legacy completions have the fields of the reference.", PROMPTS_CHECK),
)  # fmt: skip
