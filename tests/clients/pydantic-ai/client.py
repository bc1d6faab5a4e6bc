"""Pydantic AI: agents on its models for chat completions, responses and Anthropic's messages."""

from collections.abc import Callable
from typing import Any, Literal

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, ModelMessage, ModelRequest, ModelSettings, NativeOutput, Tool, ToolCallPart
from pydantic_ai.direct import model_request
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.profiles.anthropic import AnthropicModelProfile
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from report import KEY, SCENES, UNKNOWN, URL, V1, WRONG_KEY, Scenario, Seen, collect, perform, picture, raised, weather

Made = Callable[..., Model]


class Owner(BaseModel):
    """Whose it is."""

    mood: Literal["glad", "grim"]


class Pet(BaseModel):
    """What a structured answer is parsed into."""

    kind: Literal["cat", "dog"]
    tame: bool
    owner: Owner


def _openai(key: str) -> OpenAIProvider:
    return OpenAIProvider(openai_client=AsyncOpenAI(base_url=V1, api_key=key, max_retries=0))


def chat(model: str, key: str = KEY) -> Model:
    """The model that speaks chat completions."""
    return OpenAIChatModel(model, provider=_openai(key))


def responses(model: str, key: str = KEY) -> Model:
    """The model that speaks responses."""
    return OpenAIResponsesModel(model, provider=_openai(key))


def messages(model: str, key: str = KEY) -> Model:
    """The model that speaks Anthropic's messages."""
    client = AsyncAnthropic(base_url=URL, api_key=key, max_retries=0)
    # The library knows by a model's name what it can; ours has another one.
    profile = AnthropicModelProfile(supports_json_schema_output=True)
    return AnthropicModel(model, provider=AnthropicProvider(anthropic_client=client), profile=profile)


def calls_in(history: list[ModelMessage]) -> list[Any]:
    """The calls of our tool in a run."""
    parts = [part for message in history for part in message.parts if isinstance(part, ToolCallPart)]
    return [[part.tool_name, part.args_as_dict()] for part in parts if part.tool_name == "weather"]


def scenarios(made: Made) -> dict[str, Scenario]:
    """The scenarios on one of the library's models."""

    async def plain(model: str) -> Seen:
        return {"text": (await Agent(made(model)).run(SCENES["plain"])).output}

    async def stream(model: str) -> Seen:
        async with Agent(made(model)).run_stream(SCENES["stream"]) as result:
            return await collect(result.stream_text(delta=True, debounce_by=None))

    async def usage(model: str) -> Seen:
        whole = (await Agent(made(model)).run(SCENES["plain"])).usage
        async with Agent(made(model)).run_stream(SCENES["plain"]) as result:
            await result.get_output()
            streamed = result.usage
        return {
            "whole": [whole.input_tokens, whole.output_tokens],
            "streamed": [streamed.input_tokens, streamed.output_tokens],
        }

    async def turns(model: str) -> Seen:
        agent = Agent(made(model), instructions=SCENES["system"])
        first = await agent.run(SCENES["turns"][0])
        return {"text": (await agent.run(SCENES["turns"][1], message_history=first.all_messages())).output}

    async def image(model: str) -> Seen:
        asked = [SCENES["image"], BinaryContent(picture(), media_type="image/png")]
        return {"text": (await Agent(made(model)).run(asked)).output}

    async def parse(model: str) -> Seen:
        native = await Agent(made(model), output_type=NativeOutput(Pet)).run(SCENES["parse"])
        by_tool = await Agent(made(model), output_type=Pet).run(SCENES["parse"])
        if native.output != by_tool.output:
            raise ValueError(f"{native.output} by a schema, {by_tool.output} by a tool")
        return {"value": native.output.model_dump()}

    async def tools(model: str, asked: str = SCENES["tools"]) -> Seen:
        result = await Agent(made(model), tools=[weather]).run(asked)
        return {"calls": calls_in(result.all_messages()), "text": result.output}

    async def streamed_tools(model: str) -> Seen:
        async with Agent(made(model), tools=[weather]).run_stream(SCENES["tools"]) as result:
            text = await result.get_output()
        return {"calls": calls_in(result.all_messages()), "text": text}

    async def forced(model: str) -> Seen:
        offered = ModelRequestParameters(function_tools=[Tool(weather).tool_def])
        settings = ModelSettings(tool_choice=["weather"], parallel_tool_calls=False)
        answer = await model_request(
            made(model),
            [ModelRequest.user_text_prompt(SCENES["forced"])],
            model_settings=settings,
            model_request_parameters=offered,
        )
        return {"calls": calls_in([answer])}

    async def fails(model: str, text: str, key: str = KEY) -> Seen:
        return await raised(lambda: Agent(made(model, key)).run(text))

    return {
        "plain": plain,
        "stream": stream,
        "usage": usage,
        "turns": turns,
        "image": image,
        "parse": parse,
        "loop": tools,
        "streamed tools": streamed_tools,
        "parallel tools": lambda model: tools(model, SCENES["parallel"]),
        "forced tool": forced,
        "400": lambda model: fails(model, SCENES["refused"]),
        "401": lambda model: fails(model, SCENES["plain"], WRONG_KEY),
        "404": lambda _: fails(UNKNOWN, SCENES["plain"]),
        "429": lambda model: fails(f"limited-{model}", SCENES["limited"]),
    }


perform({"chat": scenarios(chat), "messages": scenarios(messages)})
