"""The MeTask gateway: many providers' models by their own ids. Rows S2-01 to S2-16."""

from typing import Final

from ingot.conformance.examples import LONG, says
from ingot.conformance.record import Row, Skipped, row
from ingot.conformance.rows.aurora import begins_with, total
from ingot.conformance.rows.valley import python_sdk
from ingot.conformance.subject import Subject
from ingot.conformance.trying import (
    both,
    choice_of,
    deltas_of,
    equal,
    equals,
    expect,
    ok,
    shows,
    stream,
    streams,
    takes,
    turned_down,
    values,
)
from ingot.conformance.wire import Json

METASK: Final = "metask"
TRIED: Final = 5
"""The most listed models that are asked."""


async def names(subject: Subject) -> list[str]:
    """The ids of the listed models."""
    data = ok(await subject.call("GET", "/models")).get("data")
    expect(isinstance(data, list) and data, "a list of models", data)
    return [str(model.get("id")) for model in data or [] if isinstance(model, dict)]


async def any_listed(subject: Subject) -> None:
    """Each of the first few, but those for embeddings alone."""
    other = {subject.means.embeddings_model}
    for name in [name for name in await names(subject) if name not in other][:TRIED]:
        ok(await subject.ask({"model": name}), name)


async def usable_ids(subject: Subject) -> None:
    """Objects with an id each."""
    answer = ok(await subject.call("GET", "/models"))
    equal("object", "list", answer.get("object"))
    expect(all(await names(subject)), "an id of each model", answer.get("data"))


async def order(subject: Subject) -> None:
    """Seen at the backend, which alone can tell."""
    words = subject.phrase()
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One."},
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": words},
    ]
    ok(await subject.ask({"messages": turns}))
    if subject.means.received is None:
        raise Skipped("the order of messages shows at the backend alone")
    bodies = subject.means.received(words)
    expect(bodies, "the request at the backend", bodies)
    equal("messages", turns, bodies[0]["messages"])


async def partial_deltas(subject: Subject) -> None:
    """More than one event, and together they are the text."""
    deltas = deltas_of(stream(await subject.ask({"stream": True})))
    texts = [delta["content"] for delta in deltas if delta.get("content")]
    expect(len(texts) > 1, "a text in several deltas", texts)


async def own_limit(subject: Subject) -> None:
    """A bound that nobody asked for shows as an answer that is cut there."""
    answer = ok(await subject.ask({"messages": [{"role": "user", "content": LONG}]}))
    counted = (answer.get("usage") or {}).get("completion_tokens")
    reason = choice_of(answer).get("finish_reason")
    expect(
        not (counted == 1024 and reason == "length"),
        "no bound of 1024 tokens",
        {"completion_tokens": counted},
    )


async def capped(subject: Subject) -> None:
    """To one token as to any other number, and not to none."""
    for most in (1, 3):
        fields = {"messages": says("words: 50"), "max_tokens": most}
        counted = (ok(await subject.ask(fields)).get("usage") or {}).get("completion_tokens")
        right = isinstance(counted, int) and counted <= most
        expect(right, f"at most {most} completion tokens with max_tokens = {most}", counted)
    await turned_down(subject, {"max_tokens": 0})


async def model_used(subject: Subject) -> None:
    """The id that the request had."""
    for name in (await names(subject))[:1]:
        equal("model", name, ok(await subject.ask({"model": name})).get("model"))


def created(answer: Json) -> object:
    """What is wrong with the time."""
    told = answer.get("created")
    return None if isinstance(told, int) and told > 1_000_000_000 else f"created {told}"


def one_choice(answer: Json) -> object:
    """What is wrong with the choices."""
    choices = answer.get("choices")
    right = isinstance(choices, list) and len(choices) == 1 and choice_of(answer).get("index") == 0
    return None if right else choices


ROWS: Final[tuple[Row, ...]] = (
    row("S2-01", METASK, "Code for OpenAI works with another base URL alone.", python_sdk),
    row("S2-02", METASK, "Any id in the list of models can be asked.", any_listed),
    row("S2-03", METASK, "The list of models has usable ids.", usable_ids),
    row("S2-04", METASK, "Messages are processed in their order.", order),
    row("S2-05", METASK, "stream: true sends partial deltas as events in place of one JSON object.", partial_deltas),
    row("S2-06", METASK, "A stream ends with data: [DONE].", streams()),
    row("S2-07", METASK, "temperature goes from 0 to 2; above 1.5 is no error.", values("temperature", [0, 1.9, 2], [-0.1, 2.1])),
    row("S2-08", METASK, "max_tokens caps the completion, and without it the model's own limit counts.", both(capped, own_limit)),
    row("S2-09", METASK, "top_p goes from 0 to 1.", values("top_p", [0, 1], [-0.1, 1.1])),
    row("S2-10", METASK, "temperature and top_p together are no error.", takes({"temperature": 1, "top_p": 0.5})),
    row("S2-11", METASK, "Ids of answers begin with chatcmpl-.", shows("an id that begins with chatcmpl-", begins_with("chatcmpl-"))),
    row("S2-12", METASK, "An answer's object is chat.completion.", equals("object", "chat.completion")),
    row("S2-13", METASK, "created is the time in unix seconds.", shows("unix seconds", created)),
    row("S2-14", METASK, "model is the id that was used.", model_used),
    row("S2-15", METASK, "There is one choice, at index 0.", shows("one choice at index 0", one_choice)),
    row("S2-16", METASK, "Usage is there.", shows("usage", total)),
)  # fmt: skip
