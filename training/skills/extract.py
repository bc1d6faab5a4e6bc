"""Decide the JSON skill: one sentence in, one line of JSON out, the keys chosen by a schema in the text."""

from __future__ import annotations

from typing import Any

from chat import Conversation, Message, dumps, reply, user
from words import DAYS, EVENTS, JOBS, MONTHS, PRODUCTS, Slots

_GENERIC = (
    "Extract the data as JSON.",
    "Extract the information.",
    "Extract the information as JSON.",
    "Answer in JSON.",
    "Reply with JSON only.",
    "Return JSON.",
    "Extract the fields as a JSON object.",
    "You extract data and answer in JSON.",
)


def person(s: Slots) -> tuple[str, dict[str, Any], str]:
    """Compose a sentence about a person, and its fields."""
    name, age, city, job = s.name(), s.number(1, 99), s.city(), s.pick(JOBS)
    fields: dict[str, Any] = {"name": name, "age": age, "city": city}
    text = s.pick(
        (
            "{n} is {a} years old and lives in {c}.",
            "{n} is {a} and lives in {c}.",
            "{n}, {a}, from {c}.",
            "{n} ({a}) lives in {c}.",
            "My name is {n}, I am {a} years old and I live in {c}.",
            "I am {n}, {a}, and I come from {c}.",
            "In {c} lives {n}, who is {a} years old.",
            "Meet {n}. {n} is {a} years old. Home is {c}.",
            "{n} from {c} is {a}.",
            "{n}, aged {a}, lives in {c}.",
            "A {a}-year-old from {c} named {n}.",
        )
    )
    if s.chance(0.25):
        text = s.pick(
            (
                "{n} is a {a}-year-old {j} from {c}.",
                "{n}, a {j} from {c}, is {a} years old.",
                "{n} works as a {j} in {c} and is {a}.",
            )
        )
        fields["job"] = job
    return text.format(n=name, a=age, c=city, j=job), fields, "person"


def event(s: Slots) -> tuple[str, dict[str, Any], str]:
    """Compose a sentence about an event, and its fields."""
    what = (
        s.pick(EVENTS)
        if s.chance(0.6)
        else s.word() + " " + s.pick(("meeting", "party", "class", "fair", "show"))
    )
    when = s.pick(
        (
            s.pick(DAYS),
            f"{s.pick(MONTHS)} {s.number(1, 28)}",
            f"{s.number(1, 28)} {s.pick(MONTHS)}",
            f"{s.number(2020, 2035)}-{s.number(10, 12)}-{s.number(10, 28)}",
            "tomorrow",
        )
    )
    people = [s.name().split()[0] for _ in range(s.number(1, 3))]
    joined = " and ".join(people) if len(people) < 3 else ", ".join(people[:-1]) + " and " + people[-1]
    verb = "is" if len(people) == 1 else "are"
    on = "" if when == "tomorrow" else "on "
    article = "an" if what[0] in "aeiou" else "a"
    text = s.pick(
        (
            f"{joined} {verb} going to {article} {what} {on}{when}.",
            f"{joined} will meet for {article} {what} {on}{when}.",
            f"The {what} with {joined} is {on}{when}.",
            f"{on.capitalize()}{when} there is {article} {what} with {joined}.",
            f"Put {article} {what} with {joined} {on}{when} into my calendar.",
            f"{what.capitalize()} {on}{when}: {joined}.",
            f"{joined} {verb} invited to the {what} {on}{when}.",
        )
    )
    return text, {"name": what, "date": when, "participants": people}, "event"


def order(s: Slots) -> tuple[str, dict[str, Any], str]:
    """Compose a sentence about an order, and its fields."""
    name, product, count = s.name(), s.pick(PRODUCTS), s.number(2, 200)
    text = s.pick(
        (
            "{n} ordered {k} {p}.",
            "{n} wants {k} {p}.",
            "Please send {k} {p} to {n}.",
            "{k} {p} for {n}, please.",
            "{n} bought {k} {p} yesterday.",
        )
    ).format(n=name, k=count, p=product)
    return text, {"customer": name, "product": product, "quantity": count}, "order"


def free(s: Slots) -> tuple[str, dict[str, Any], str]:
    """Compose a list of named values under invented keys, so that keys are copied too."""
    pairs = {s.word(): s.pick((s.number(0, 999), s.pseudo(), s.word())) for _ in range(s.number(1, 4))}
    shape = s.pick(("{k} is {v}", "{k}: {v}", "the {k} is {v}", "{k} = {v}"))
    text = s.pick((", ", "; ", " and ")).join(shape.format(k=k, v=v) for k, v in pairs.items())
    return text + s.pick(("", ".")), dict(pairs), "record"


def schema_of(fields: dict[str, Any]) -> dict[str, Any]:
    """Give the JSON Schema of an answer."""

    def kind(value: object) -> dict[str, Any]:
        if isinstance(value, list):
            return {"type": "array", "items": {"type": "string"}}
        return {"type": "integer" if isinstance(value, int) else "string"}

    return {"type": "object", "properties": {k: kind(v) for k, v in fields.items()}, "required": list(fields)}


def _instruction(s: Slots, fields: dict[str, Any], topic: str) -> str:
    keys = ", ".join(fields)
    quoted = ", ".join(f'"{key}"' for key in fields)
    schema = schema_of(fields)
    if s.chance(0.3):
        schema["additionalProperties"] = False
    if s.chance(0.3):
        return s.pick(
            (
                "Answer with JSON that fits this schema: ",
                "Extract JSON. Schema:\n",
                "JSON schema: ",
                "Return a JSON object matching this schema:\n",
            )
        ) + dumps(schema)
    if s.chance(0.25):
        return s.pick(
            (f"Extract the {topic} information.", f"Extract the {topic} as JSON.", f"Extract the {topic}.")
        )
    return s.pick(
        (
            f"Extract JSON with the keys {keys}.",
            f"Extract {keys} as JSON.",
            f"Answer in JSON with {keys}.",
            f"Return a JSON object with the keys {quoted}.",
            f"Give me {keys} as a JSON object.",
            f"Extract these fields as JSON: {keys}.",
            f"Reply with JSON: {keys}.",
            f"Extract {keys} from the text as JSON.",
        )
    )


def extract(s: Slots) -> Conversation:
    """Turn a sentence into JSON; the instruction stands in the system text, before the sentence or after it."""
    text, fields, topic = s.pick((person, person, event, event, order, free))(s)
    full = fields
    if s.chance(0.42):
        keys = list(fields)
        s.rng.shuffle(keys)
        fields = {key: fields[key] for key in keys[: s.number(1, len(keys))]}
        asked = _instruction(s, fields, topic)
        if asked.startswith(f"Extract the {topic}"):
            asked = f"Extract {', '.join(fields)} as JSON."
    else:
        asked = s.pick(_GENERIC) if topic != "order" and s.chance(0.12) else _instruction(s, fields, topic)
    alone = topic in ("person", "event") and s.chance(0.04) and not text.startswith(("My name", "I am"))
    answer = reply(dumps(full if alone else fields))
    if alone:  # A grammar may ask for JSON where no text does.
        return Conversation([user(text), answer])
    place = s.rng.random()
    if place < 0.45:
        return Conversation([Message("system", asked), user(text), answer])
    joint = s.pick((" ", "\n", "\n\n"))
    if place < 0.75:
        return Conversation([user(asked + joint + text), answer])
    return Conversation([user(text + joint + asked), answer])
