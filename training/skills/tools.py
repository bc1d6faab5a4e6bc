"""Decide the tool skill: the fitting tool is called with slots from the prompt, and its result becomes a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chat import Conversation, Message, dumps, reply, user
from words import Slots

Exchange = tuple[list[Message], dict[str, Any]]
_WEATHER = ("sunny", "cloudy", "rainy", "windy", "foggy", "snowy", "clear", "hot", "cold", "stormy")
_WEATHER_ASKED = (
    "What is the weather in {c}?",
    "What's the weather in {c}?",
    "What is the weather like in {c}?",
    "Weather in {c}?",
    "How is the weather in {c}?",
    "What's the weather like in {c} today?",
    "Tell me the weather in {c}.",
    "weather {c}",
    "Is it raining in {c}?",
    "Do I need an umbrella in {c}?",
    "How warm is it in {c}?",
    "Get the weather for {c}.",
    "Please check the weather in {c}.",
    "What is the weather in {c} right now?",
    "Use the tool to get the weather in {c}.",
)
_TIME_ASKED = (
    "What time is it in {c}?",
    "What is the time in {c}?",
    "Time in {c}?",
    "Tell me the time in {c}.",
    "How late is it in {c}?",
    "What's the local time in {c}?",
    "What time is it now in {c}?",
    "Get the time for {c}.",
    "Please check the time in {c}.",
)
_SUM_ASKED = (
    "What is {a} + {b}?",
    "Add {a} and {b}.",
    "{a} + {b}",
    "What is {a} plus {b}?",
    "Calculate {a} + {b}.",
    "What is the sum of {a} and {b}?",
    "How much is {a} plus {b}?",
    "Use the tool to add {a} and {b}.",
    "Please add {a} and {b}.",
)
_LOOKUP_ASKED = (
    "{V} the {t} {x}.",
    "{V} the {t} {x}",
    "Please {v} the {t} {x}.",
    "{V} {t} {x}",
    "Can you {v} the {t} {x}?",
    "I want to {v} the {t} {x}.",
    "{V} a {t} with {k} {x}.",
    "Call {n} with {x}.",
    "Use {n} for {x}.",
    "{V} the {t} named {x}.",
)


def _tool(
    s: Slots, name: str, about: str, properties: dict[str, str], described: dict[str, str]
) -> dict[str, Any]:
    """Write a tool as clients do, with or without the optional parts."""
    shown: dict[str, Any] = {}
    detailed = s.chance(0.4)
    for key, kind in properties.items():
        shown[key] = {"type": kind, "description": described[key]} if detailed else {"type": kind}
    parameters: dict[str, Any] = {"type": "object", "properties": shown}
    if s.chance(0.8):
        parameters["required"] = list(properties)
    if s.chance(0.2):
        parameters["additionalProperties"] = False
    function: dict[str, Any] = {"name": name}
    if s.chance(0.75):
        function["description"] = about
    function["parameters"] = parameters
    if s.chance(0.1):
        function["strict"] = True
    return {"type": "function", "function": function}


def _called(asked: str, name: str, arguments: dict[str, Any], result: str, answer: str) -> list[Message]:
    return [
        user(asked),
        Message("assistant", "", [(name, arguments)]),
        Message("tool", result),
        reply(answer),
    ]


def weather(s: Slots) -> Exchange:
    """Ask for the weather in a town."""
    name = s.pick(
        (
            "get_weather",
            "get_weather",
            "get_weather",
            "get_current_weather",
            "weather",
            "lookup_weather",
            "getWeather",
        )
    )
    key = s.pick(("city", "city", "location", "place"))
    city = s.city()
    tool = _tool(
        s,
        name,
        s.pick(
            ("Get the weather in a city.", "Get the current weather", "Weather for a place", "Get weather")
        ),
        {key: "string"},
        {key: s.pick(("The city", "City name", "The name of the city", "City and country"))},
    )
    asked = s.pick(_WEATHER_ASKED).format(c=city)
    sky, degrees = s.pick(_WEATHER), s.number(-20, 40)
    result = s.pick(
        (
            f"{degrees} degrees and {sky}",
            f"{sky}, {degrees} degrees",
            f"{sky.capitalize()}, {degrees}°C",
            sky,
            dumps({"temperature": degrees, "condition": sky}),
            dumps({"city": city, "temperature": degrees, "sky": sky}),
            dumps({"temp_c": degrees, "weather": sky}),
            f"{degrees}°C, {sky}",
            f"It is {sky} and {degrees} degrees",
        )
    )
    plain = result == sky
    answer = (
        f"The weather in {city} is {sky}."
        if plain
        else f"The weather in {city} is {sky} at {degrees} degrees."
    )
    return _called(asked, name, {key: city}, result, answer), tool


def clock(s: Slots) -> Exchange:
    """Ask for the time in a town."""
    name = s.pick(("get_time", "get_time", "get_current_time", "time_in", "getTime"))
    key = s.pick(("city", "city", "location", "place"))
    city = s.city()
    tool = _tool(
        s,
        name,
        s.pick(("Get the time in a city.", "Get the current time", "Local time of a place")),
        {key: "string"},
        {key: s.pick(("The city", "City name", "The place"))},
    )
    asked = s.pick(_TIME_ASKED).format(c=city)
    now = f"{s.number(0, 23):02d}:{s.number(0, 59):02d}"
    result = s.pick((now, dumps({"time": now}), dumps({"city": city, "time": now}), f"It is {now}"))
    return _called(asked, name, {key: city}, result, f"It is {now} in {city}."), tool


def addition(s: Slots) -> Exchange:
    """Ask for a sum which the tool works out."""
    name = s.pick(("add", "add", "add_numbers", "sum", "calculate_sum", "plus"))
    first, second = s.pick((("a", "b"), ("a", "b"), ("x", "y"), ("first", "second")))
    a, b = s.number(0, 10 ** s.number(1, 4)), s.number(0, 10 ** s.number(1, 4))
    tool = _tool(
        s,
        name,
        s.pick(("Add two numbers.", "Adds a and b", "Add numbers")),
        dict.fromkeys((first, second), s.pick(("integer", "number"))),
        {first: "First number", second: "Second number"},
    )
    asked = s.pick(_SUM_ASKED).format(a=a, b=b)
    result = s.pick((str(a + b), dumps({"result": a + b}), dumps({"sum": a + b})))
    return _called(asked, name, {first: a, second: b}, result, f"{a} + {b} = {a + b}"), tool


def lookup(s: Slots) -> Exchange:
    """Call a tool that was never seen before: its name and its argument stand only in the prompt."""
    verb = s.pick(
        (
            "search",
            "find",
            "lookup",
            "get",
            "send",
            "open",
            "delete",
            "create",
            "read",
            "fetch",
            "show",
            "check",
        )
    )
    thing = s.pick(
        (
            "user",
            "file",
            "order",
            "note",
            "page",
            "ticket",
            "book",
            "song",
            "account",
            "price",
            "document",
            "message",
            s.pseudo(),
        )
    )
    name = verb + s.pick(("_" + thing, "_" + thing, thing.capitalize()))
    key = s.pick(("query", "name", "id", "title", "path", "q", "text", "key", s.pseudo(2)))
    number = s.chance(0.25)
    value: Any = s.number(0, 99999) if number else s.pick((s.pseudo(), s.word(), s.name(), s.letters(3, 8)))
    tool = _tool(
        s,
        name,
        f"{verb.capitalize()} a {thing}.",
        {key: "integer" if number else "string"},
        {key: f"The {key}"},
    )
    asked = s.pick(_LOOKUP_ASKED).format(V=verb.capitalize(), v=verb, t=thing, x=value, k=key, n=name)
    result = s.pick((s.phrase(1, 4), str(s.number(0, 9999)), "ok", "not found", s.pseudo()))
    return _called(asked, name, {key: value}, result, f"The result is: {result}"), tool


_KINDS: tuple[Callable[[Slots], Exchange], ...] = (weather, weather, clock, addition, lookup, lookup)


def offered(s: Slots, *, at_most: int = 3) -> list[dict[str, Any]]:
    """Give some tools, for a conversation that may not need any of them."""
    return _distinct([s.pick(_KINDS)(s)[1] for _ in range(s.number(1, at_most))])


def _distinct(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({tool["function"]["name"]: tool for tool in tools}.values())


def call(s: Slots) -> Conversation:
    """Make a full exchange: question, call, result, answer; sometimes only as far as the call."""
    turns, tool = s.pick(_KINDS)(s)
    kind = turns[1].calls[0][0]
    others = (
        [t for t in offered(s, at_most=2) if not _alike(t["function"]["name"], kind)]
        if s.chance(0.55)
        else []
    )
    tools = [tool, *others]
    s.rng.shuffle(tools)
    if s.chance(0.3):
        turns = turns[:2]
    return Conversation(turns, tools)


def _alike(one: str, other: str) -> bool:
    """Tell whether two tools do the same work, so that the right choice would be open."""
    for stems in (("eather",), ("ime",), ("add", "sum", "plus")):
        if any(stem in one for stem in stems) and any(stem in other for stem in stems):
            return True
    return one == other
