"""What the systems' own documentation adds to what they say of themselves. Rows C-01 to C-66."""

import re
from typing import Any, Final
from urllib.parse import quote

from ingot.conformance.examples import PIXEL, picture
from ingot.conformance.record import AURORA, Check, Row, Skipped, row
from ingot.conformance.rows import batches, responses
from ingot.conformance.rows.aurora import free_limit
from ingot.conformance.rows.metask import METASK, usable_ids
from ingot.conformance.rows.reference import VALAR, delivered, fresh
from ingot.conformance.subject import GONE, NO_KEY, Subject
from ingot.conformance.trying import both, cannot, equal, expect, need, ok, refused, refuses, shown, values
from ingot.conformance.wire import Answer, Json

MODEL_KEYS: Final = ("id", "object", "created", "owned_by")
MOST_IMAGES: Final = 20
SUMMARY: Final = [
    "object",
    "range",
    "period_spend",
    "burn_rate",
    "balance",
    "balance_unavailable",
    "days_remaining",
    "plan_type",
    "model_count",
    "tokens",
    "avg_cost_per_day",
    "sla_mix",
    "prior_period",
]
RANGES: Final = ("24h", "7d", "30d", "period")
PRICES: Final = ("input", "output")


async def other_body(subject: Subject) -> None:
    """An idempotency error, and a refused request leaves its key free."""
    headers = fresh()
    refused(await subject.ask({"messages": []}, headers=headers), "no messages")
    ok(await subject.ask(headers=headers), "the key of a refused request")
    error = refused(
        await subject.ask({"temperature": 0.5}, headers=headers), "another body under a known key"
    )
    told = {error.get("type"), error.get("code")}
    expect("idempotency_error" in told, "idempotency_error", sorted(map(str, told)))


async def anthropic_key(subject: Subject) -> None:
    """The header of that name works as the other does."""
    headers = {"anthropic-idempotency-key": fresh()["idempotency-key"]}
    first, again = [await subject.ask(surface="messages", headers=headers) for _ in range(2)]
    equal("id", ok(first).get("id"), ok(again).get("id"))


async def models(subject: Subject) -> list[Json]:
    """The listed models."""
    return [
        each for each in ok(await subject.call("GET", "/models")).get("data", []) if isinstance(each, dict)
    ]


def windows_of(model: Json) -> Json:
    """The completion windows of a model object with what is said of each; empty where it tells none."""
    for value in model.values():
        if isinstance(value, dict) and {"asap", "standard", "priority", "flex"} & value.keys():
            return value
        if isinstance(value, list) and "asap" in value:
            return {name: {} for name in value if isinstance(name, str)}
        if isinstance(value, list) and any(
            isinstance(each, dict) and each.get("name") == "asap" for each in value
        ):
            return {str(each.get("name")): each for each in value if isinstance(each, dict)}
    return {}


async def missing_window(subject: Subject) -> None:
    """Asked of a model that has one of the two alone."""
    for model in await models(subject):
        told = windows_of(model)
        if told and "standard" not in told:
            fields = {"model": model["id"], "metadata": {"completion_window": "standard"}}
            error = refused(await subject.ask(fields), "a window that the model lacks", param="metadata")
            expect(
                "asap" in str(error.get("message")), "the windows that the model has", error.get("message")
            )
            return
    raise Skipped("no model says that it lacks a window")


async def windows(subject: Subject) -> None:
    """Each with its price."""
    for model in await models(subject):
        told = windows_of(model)
        expect(told, f"windows of {model.get('id')}", sorted(model))
        for name, said in told.items():
            prices = said.get("price", said) if isinstance(said, dict) else {}
            expect(all(each in prices for each in PRICES), f"prices of {model.get('id')} in {name}", said)


async def more_windows(subject: Subject) -> None:
    """Where a model has them."""
    told = [name for model in await models(subject) for name in windows_of(model)]
    if not {"priority", "flex"} & set(told):
        raise Skipped("no model has the windows priority and flex")
    for window in ("priority", "flex"):
        model = next((each["id"] for each in await models(subject) if window in windows_of(each)), None)
        fields = {"model": need(model, f"a model with the window {window}"), "background": True}
        answer = await subject.ask({**fields, "metadata": {"completion_window": window}}, surface="responses")
        expect(answer.status in {200, 202}, f"the window {window}", answer)


async def webhook_body(subject: Subject) -> None:
    """The very bytes of the stored response."""
    delivery = await delivered(subject, "responses")
    found = Answer(200, body=delivery.body).value
    stored = await subject.call("GET", f"/responses/{found.get('id')}")
    expect(
        stored.body == delivery.body,
        "the body of GET /v1/responses/{id}",
        delivery.body.decode("utf-8", "replace"),
    )


async def statuses(subject: Subject) -> None:
    """Six of them, and every error is an object."""
    tries = (
        ("no model", 400, await subject.ask({"model": GONE})),
        ("no messages", 400, await subject.ask({"messages": GONE})),
        ("no key", 401, await subject.ask(key=NO_KEY)),
        ("an unknown model", 404, await subject.ask({"model": "no-such-model"})),
        ("an unknown path", 404, await subject.call("GET", "/nowhere")),
    )
    for what, status, answer in tries:
        refused(answer, what, status=status)
    for answer in await subject.burst():
        if answer.status != 200:
            refused(answer, "a request above the limit", status=429)
            expect("retry-after" in answer.headers, "retry-after with a 429", dict(answer.headers))


async def by_subscription(subject: Subject) -> None:
    """Objects as OpenAI has them; exact ids; and another plan, another list."""
    await usable_ids(subject)
    for model in await models(subject):
        expect(all(key in model for key in MODEL_KEYS), f"{', '.join(MODEL_KEYS)} of each model", model)
    refused(await subject.ask({"model": f"{subject.model}-latest"}), "an alias", status=404)
    if subject.means.narrow_key is not None:
        fewer = ok(await subject.call("GET", "/models", key=subject.means.narrow_key)).get("data", [])
        expect(
            len(fewer) < len(await models(subject)),
            "fewer models on a smaller plan",
            [x.get("id") for x in fewer],
        )


async def no_credit(subject: Subject) -> None:
    """Before anything is asked."""
    key = need(subject.means.empty_key, "the key of an account with a balance of zero (--empty-key)")
    refused(await subject.ask(key=key), "a balance of zero", status=403)


async def deprecation(subject: Subject) -> None:
    """A date on the model and a header on its answers, and on no others."""
    listed = await models(subject)
    if not any(ending(model) for model in listed):
        raise Skipped("no model is announced to end")
    for model in listed:
        answer = await subject.ask({"model": model["id"]})
        ok(answer, model["id"])
        told = "deprecation" in answer.headers
        expect(told is ending(model), f"a deprecation header for models that end, as for {model['id']}", told)


def ending(model: Json) -> bool:
    """Whether a model object says that the model will end."""
    return bool(model.get("shutdown_date") or model.get("deprecated_at"))


async def llms(subject: Subject) -> None:
    """Text, beside the API: a title, and links of which those to the same host lead somewhere."""
    answer = await subject.page("/llms.txt")
    expect(answer.status == 200 and answer.content_type.startswith("text/"), "a text at /llms.txt", answer)
    text = answer.body.decode("utf-8", "replace")
    expect(text.startswith("# "), "a title in its first line", text[:40])
    links = re.findall(r"^- \[[^\]]+\]\(([^)]+)\)", text, re.MULTILINE)
    expect(bool(links), "a list of links", text[:200])
    for path in list(dict.fromkeys(link.partition("#")[0] for link in links if link.startswith("/")))[:5]:
        found = await subject.page(path)
        expect(found.status == 200, f"200 for {path}, which it links to", found)


async def image_limits(subject: Subject) -> None:
    """Number, kind, address; and one text for models that read no images."""
    can = need(subject.means.image_model, "a model that reads images (--image-model)")
    cannot_read = need(subject.means.text_model, "a model that reads text only (--text-model)")
    part = {"type": "image_url", "image_url": {"url": PIXEL}}
    many = [{"role": "user", "content": [part] * (MOST_IMAGES + 1)}]
    refused(await subject.ask({"model": can, "messages": many}), f"{MOST_IMAGES + 1} images")
    odd = picture(url="data:image/tiff;base64,SUkqAA==")
    refused(await subject.ask({"model": can, "messages": odd}), "an image of another type")
    error = refused(
        await subject.ask({"model": cannot_read, "messages": picture()}), f"an image for {cannot_read}"
    )
    wanted = f"model '{cannot_read}' does not support image input"
    expect(wanted.lower() in str(error.get("message")).lower(), wanted, error.get("message"))


async def usage_summary(subject: Subject) -> None:
    """For each range, and for 30 days where none is named."""
    for query, told in (("", "30d"), *((f"?range={each}", each) for each in RANGES)):
        answer = ok(await subject.call("GET", f"/usage{query}"), f"GET /usage{query}")
        missing = [name for name in SUMMARY if name not in answer]
        expect(not missing, "all keys of a summary", f"without {', '.join(missing)}")
        equal("object", "usage.summary", answer["object"])
        equal("range", told, answer["range"])
        counts = answer["tokens"]
        expect({"total", "input", "output", "cached"} <= set(counts), "four counts of tokens", counts)
        expect({"asap", "standard"} <= set(answer["sla_mix"]), "the mix of both windows", answer["sla_mix"])


async def usage_breakdown(subject: Subject) -> None:
    """By day, and by hour for one day."""
    for query, step in (("?range=7d", "day"), ("?range=day&date=2026-01-31", "hour")):
        answer = ok(await subject.call("GET", f"/usage/breakdown{query}"), f"GET /usage/breakdown{query}")
        equal("object", "usage.breakdown", answer.get("object"))
        equal("granularity", step, answer.get("granularity"))
        expect(
            all(isinstance(answer.get(name), list) for name in ("data", "models")),
            "data and models",
            shown(answer),
        )
        for point in answer["data"]:
            expect({"timestamp", "total", "models", "slas"} <= set(point), "four keys of each point", point)
        for model in answer["models"]:
            expect({"model", "total", "tokens", "percentage"} <= set(model), "figures of each model", model)


async def listed_batches(subject: Subject) -> None:
    """A bare array, bounded by limit."""
    await batches.made(subject)
    answer = await subject.call("GET", "/batches?limit=1")
    expect(answer.status == 200 and answer.body.lstrip().startswith(b"["), "a bare array", answer)
    for limit in (0, 201):
        refused(await subject.call("GET", f"/batches?limit={limit}"), f"limit = {limit}", param="limit")


async def batch_shape(subject: Subject) -> None:
    """What comes back, and what a label may be."""
    fields: Json = {"label": "nightly_run-1"}
    made = (await subject.ask(fields, surface="batches")).value
    missing = [name for name in ("id", "request_counts", "created_at", "label") if name not in made]
    expect(not missing, "id, request_counts, created_at and label", f"without {', '.join(missing)}")
    for label in ("x" * 129, "two words"):
        refused(
            await subject.ask({"label": label}, surface="batches"), f"label = {shown(label)}", param="label"
        )


async def request_status(subject: Subject) -> None:
    """For each request by its name."""
    made = await batches.made(subject)
    found = ok(await subject.call("GET", f"/batches/{made.get('id')}"))
    told: Any = found.get("request_status")
    right = isinstance(told, dict) and isinstance(told.get("r0"), dict) and "status" in told["r0"]
    expect(right, "request_status by custom_id", told)


async def batch_windows(subject: Subject) -> None:
    """Standard unasked; asap is refused."""
    entry = {
        "custom_id": "one",
        "params": {"model": subject.model, "input": "Hi", "metadata": {"completion_window": "asap"}},
    }
    refused(await subject.ask({"requests": [entry]}, surface="batches"), "asap in a batch")


async def model_card(subject: Subject) -> None:
    """Told of the model alone; which models have one is the service's choice."""
    path = f"/models/{quote(subject.model, safe='')}"
    found = ok(await subject.call("GET", path), f"GET {path}")
    card = need(found.get("card"), "a model with a card")
    expect(isinstance(card, dict) and card, "a card that says something", card)
    listed = ok(await subject.call("GET", "/models")).get("data") or []
    expect(not any("card" in model for model in listed), "no cards in the list", listed)


async def unseen_principles(subject: Subject) -> None:
    """In front of what the client says itself, and in nothing that it gets; seen at the backend alone."""
    look = need(
        subject.means.received, "a look at what reaches the backend: principles do not show in single answers"
    )
    said: list[str] = []
    for own in ([], [{"role": "system", "content": "Be brief."}]):
        words = subject.phrase()
        answer = await subject.ask({"messages": [*own, {"role": "user", "content": words}]})
        ok(answer)
        [body] = look(words)
        first = body["messages"][0]
        principles = str(first.get("content")).removesuffix("Be brief.").strip()
        if first.get("role") != "system" or not principles:
            raise Skipped("the model follows no principles")
        expect(principles not in str(answer.value), "nothing of the principles in the answer", answer)
        said.append(principles)
    equal("principles beside the client's own words", said[0], said[1])


def limits_of_responses() -> Check:
    """What the reference says of single fields."""
    name = responses.SURFACE
    return both(
        refuses({"model": GONE}, {"input": GONE}, surface=name),
        values("input", ["Hi"], ["", []], surface=name),
        values("max_output_tokens", [1, 64], [0], surface=name),
        values("temperature", [0, 2], [-0.1, 2.1], surface=name),
        values("top_p", [0, 1], [-0.1, 1.1], surface=name),
        values("store", [True], [False], surface=name),
        values("user", ["u" * 256], ["u" * 257], surface=name),
        responses.no_references,
    )


async def both_names(subject: Subject) -> None:
    """The counts of a response have their names of chat, too."""
    usage = ok(await subject.ask(surface=responses.SURFACE)).get("usage") or {}
    for name, other in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")):
        expect(usage.get(other) is not None, f"usage.{other}", usage)
        equal(f"usage.{name}", usage[other], usage.get(name))


def limits_of_messages() -> Check:
    """What the reference says of single fields."""
    missing = [{name: GONE} for name in ("model", "messages", "max_tokens")]
    bounds = values("max_tokens", [1], [0], surface="messages")
    return both(bounds, refuses(*missing, {"messages": []}, {"stream": True}, surface="messages"))


ROWS: Final[tuple[Row, ...]] = (
    row("C-01", VALAR, "Another body under a known idempotency key is a 400 idempotency_error; a refused request leaves its key free.", other_body),
    row("C-02", VALAR, "On messages anthropic-idempotency-key works too; max_tokens and messages have at least one.", both(anthropic_key, limits_of_messages()), needs=("messages",)),
    row("C-03", VALAR, "A window that the model lacks is refused, and the error names those it has.", missing_window),
    row("C-04", VALAR, "A webhook brings the very body of GET /v1/responses/{id}.", webhook_body, needs=("responses",)),
    row("C-05", VALAR, "Fields of responses have the bounds of the reference; usage has the names of chat, too.", both(limits_of_responses(), both_names), needs=("responses",)),
    row("C-10", VALAR, "A batch comes back with id, request_counts, created_at and its label.", batch_shape, needs=("batches",)),
    row("C-11", VALAR, "Batches are listed as a bare array, 1 to 200 at a time.", listed_batches, needs=("batches",)),
    row("C-12", VALAR, "A result of a batch is a response object.", batches.result, needs=("batches",)),
    row("C-20", METASK, "Errors have six statuses and an error object; a 429 says when to come back.", statuses),
    row("C-21", METASK, "Models are listed as OpenAI has them, ids are exact, and the list depends on the plan.", by_subscription),
    row("C-30", AURORA, "An account's keys work once its e-mail address is verified.", cannot("a mailbox is needed to verify an address")),
    row("C-31", AURORA, "Free has 5 requests a minute; Pro has more, and its turn comes first.", free_limit),
    row("C-32", AURORA, "A model can have a card, as JSON and in the dashboard.", model_card),
    row("C-33", AURORA, "A model can follow principles that no client sees or removes.", unseen_principles),
    row("C-34", AURORA, "There are hosted workers, APIs, jobs and bots.", cannot("hosting is no part of the API")),
    row("C-40", "valley", "A model that ends says so before: a date on it, and a header on its answers.", deprecation),
    row("C-50", METASK, "At a balance of zero a request meets a 403.", no_credit),
    row("C-51", METASK, "The dashboard shows balance, requests and spending.", cannot("the dashboard is for people")),
    row("C-52", METASK, "/llms.txt is an index of the documentation.", llms),
    row("C-60", VALAR, "Each model lists its windows with a price for each.", windows),
    row("C-61", VALAR, "At most 20 images of four types; a model for text alone says that it supports none.", image_limits),
    row("C-62", VALAR, "A batch tells the status of each request by custom_id.", request_status, needs=("batches",)),
    row("C-63", VALAR, "Requests of a batch have the window standard; asap is refused.", batch_windows, needs=("batches",)),
    row("C-64", VALAR, "GET /v1/usage sums up spending, balance, tokens and windows over a range.", usage_summary),
    row("C-65", VALAR, "GET /v1/usage/breakdown has the same by day or hour, and by model.", usage_breakdown),
    row("C-66", "open", "There are two more windows: priority and flex.", more_windows, needs=("responses",)),
)  # fmt: skip
