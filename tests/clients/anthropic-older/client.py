"""An older official client of Anthropic, which speaks version 2023-06-01 of the API."""

from typing import Any, Literal

from anthropic import AsyncAnthropic, beta_async_tool
from anthropic.types import Message
from pydantic import BaseModel
from report import KEY, SCENES, URL, Seen, collect, perform, weather

TOOL: Any = {
    "name": "weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"enum": ["Oslo", "Rome"]}},
        "required": ["city"],
    },
}


class Owner(BaseModel):
    """Whose it is."""

    mood: Literal["glad", "grim"]


class Pet(BaseModel):
    """What a structured answer is parsed into."""

    kind: Literal["cat", "dog"]
    tame: bool
    owner: Owner


def made(key: str = KEY) -> AsyncAnthropic:
    """The client before the server."""
    return AsyncAnthropic(base_url=URL, api_key=key, max_retries=0)


def says(text: Any) -> list[Any]:
    """A conversation of one user message."""
    return [{"role": "user", "content": text}]


async def ask(model: str, messages: list[Any], key: str = KEY, **more: Any) -> Message:
    """A whole message; the sampling settings are of the kind that the later version of the API no longer has."""
    return await made(key).messages.create(
        model=model, max_tokens=256, messages=messages, temperature=0.5, top_p=0.9, **more
    )


async def called(city: Literal["Oslo", "Rome"]) -> str:
    """The weather in a city.

    Args:
        city: The city's name.
    """
    return weather(city)


called.__name__ = "weather"


def text_of(message: Message) -> str:
    """The message's text."""
    return "".join(block.text for block in message.content if block.type == "text")


def calls_of(message: Message) -> list[Any]:
    """The message's tool calls."""
    return [[block.name, block.input] for block in message.content if block.type == "tool_use"]


async def _answered(model: str, asked: list[Any], first: Message) -> Seen:
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": weather(**block.input)}
        for block in first.content
        if block.type == "tool_use"
    ]
    said = [*asked, {"role": "assistant", "content": first.content}, *says(results)]
    return {"calls": calls_of(first), "text": text_of(await ask(model, said, tools=[TOOL]))}


class Scenarios:
    """The scenarios on messages, the only surface."""

    async def ask(self, model: str, text: str, key: str) -> object:
        return await ask(model, says(text), key)

    async def plain(self, model: str) -> Seen:
        return {"text": text_of(await ask(model, says(SCENES["plain"])))}

    async def stream(self, model: str) -> Seen:
        async with made().messages.stream(
            model=model, max_tokens=256, messages=says(SCENES["stream"])
        ) as events:
            told = await collect(events.text_stream)
            whole = await events.get_final_text()
        if whole != told["text"]:
            raise ValueError(f"{whole} in the end")
        return told

    async def usage(self, model: str) -> Seen:
        whole = await ask(model, says(SCENES["plain"]))
        async with made().messages.stream(
            model=model, max_tokens=256, messages=says(SCENES["plain"])
        ) as events:
            streamed = await events.get_final_message()
        return {
            "whole": [whole.usage.input_tokens, whole.usage.output_tokens],
            "streamed": [streamed.usage.input_tokens, streamed.usage.output_tokens],
        }

    async def turns(self, model: str) -> Seen:
        said = says(SCENES["turns"][0])
        first = await ask(model, said, system=SCENES["system"])
        said += [{"role": "assistant", "content": first.content}, *says(SCENES["turns"][1])]
        return {"text": text_of(await ask(model, said, system=SCENES["system"]))}

    async def image(self, model: str) -> Seen:
        source = {"type": "base64", "media_type": "image/png", "data": SCENES["png"]}
        content = [{"type": "text", "text": SCENES["image"]}, {"type": "image", "source": source}]
        return {"text": text_of(await ask(model, says(content)))}

    async def parse(self, model: str) -> Seen:
        answer = await made().messages.parse(
            model=model, max_tokens=256, messages=says(SCENES["parse"]), output_format=Pet
        )
        return {"value": answer.parsed_output.model_dump()}

    async def tools(self, model: str) -> Seen:
        asked = says(SCENES["tools"])
        return await _answered(model, asked, await ask(model, asked, tools=[TOOL]))

    async def parallel_tools(self, model: str) -> Seen:
        asked = says(SCENES["parallel"])
        return await _answered(model, asked, await ask(model, asked, tools=[TOOL]))

    async def streamed_tools(self, model: str) -> Seen:
        asked = says(SCENES["tools"])
        async with made().messages.stream(
            model=model, max_tokens=256, messages=asked, tools=[TOOL]
        ) as events:
            first = await events.get_final_message()
        return await _answered(model, asked, first)

    async def loop(self, model: str) -> Seen:
        runner = made().beta.messages.tool_runner(
            model=model, max_tokens=256, messages=says(SCENES["tools"]), tools=[beta_async_tool(called)]
        )
        calls = []
        async for message in runner:
            calls += calls_of(message)
            text = text_of(message)
        return {"calls": calls, "text": text}

    async def forced_tool(self, model: str) -> Seen:
        choice = {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}
        return {"calls": calls_of(await ask(model, says(SCENES["forced"]), tools=[TOOL], tool_choice=choice))}


perform({"messages": Scenarios()})
