"""Pydantic AI: agents on its models for chat completions, responses and Anthropic's messages."""

from collections.abc import Callable
from typing import Any, Literal

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import (
    Agent,
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelSettings,
    NativeOutput,
    Tool,
    ToolCallPart,
)
from pydantic_ai.direct import model_request
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel, OpenAIResponsesModelSettings
from pydantic_ai.profiles.anthropic import AnthropicModelProfile
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from report import KEY, SCENES, URL, V1, Seen, collect, perform, picture, weather

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


class Scenarios:
    """The scenarios on one of the library's models."""

    def __init__(self, made: Made) -> None:
        self.made = made

    async def ask(self, model: str, text: str, key: str) -> object:
        return await Agent(self.made(model, key)).run(text)

    async def plain(self, model: str) -> Seen:
        return {"text": (await Agent(self.made(model)).run(SCENES["plain"])).output}

    async def stream(self, model: str) -> Seen:
        async with Agent(self.made(model)).run_stream(SCENES["stream"]) as result:
            return await collect(result.stream_text(delta=True, debounce_by=None))

    async def usage(self, model: str) -> Seen:
        whole = (await Agent(self.made(model)).run(SCENES["plain"])).usage
        async with Agent(self.made(model)).run_stream(SCENES["plain"]) as result:
            await result.get_output()
            streamed = result.usage
        return {
            "whole": [whole.input_tokens, whole.output_tokens],
            "streamed": [streamed.input_tokens, streamed.output_tokens],
        }

    async def turns(self, model: str) -> Seen:
        agent = Agent(self.made(model), instructions=SCENES["system"])
        first = await agent.run(SCENES["turns"][0])
        return {"text": (await agent.run(SCENES["turns"][1], message_history=first.all_messages())).output}

    async def image(self, model: str) -> Seen:
        asked = [SCENES["image"], BinaryContent(picture(), media_type="image/png")]
        return {"text": (await Agent(self.made(model)).run(asked)).output}

    async def parse(self, model: str) -> Seen:
        by_tool = await Agent(self.made(model), output_type=Pet).run(SCENES["parse"])
        Pet.model_validate(by_tool.output)
        by_schema = await Agent(self.made(model), output_type=NativeOutput(Pet)).run(SCENES["parse"])
        return {"value": by_schema.output.model_dump()}

    async def loop(self, model: str, asked: str = SCENES["tools"]) -> Seen:
        result = await Agent(self.made(model), tools=[weather]).run(asked)
        return {"calls": calls_in(result.all_messages()), "text": result.output}

    async def parallel_tools(self, model: str) -> Seen:
        return await self.loop(model, SCENES["parallel"])

    async def streamed_tools(self, model: str) -> Seen:
        async with Agent(self.made(model), tools=[weather]).run_stream(SCENES["tools"]) as result:
            text = await result.get_output()
        return {"calls": calls_in(result.all_messages()), "text": text}

    async def forced_tool(self, model: str) -> Seen:
        offered = ModelRequestParameters(function_tools=[Tool(weather).tool_def])
        settings = ModelSettings(tool_choice=["weather"], parallel_tool_calls=False)
        answer = await model_request(
            self.made(model),
            [ModelRequest.user_text_prompt(SCENES["forced"])],
            model_settings=settings,
            model_request_parameters=offered,
        )
        return {"calls": calls_in([answer])}


class ResponsesScenarios(Scenarios):
    """What responses add."""

    async def previous(self, model: str) -> Seen:
        agent = Agent(
            self.made(model), model_settings=OpenAIResponsesModelSettings(openai_previous_response_id="auto")
        )
        first = await agent.run(SCENES["previous"][0])
        second = await agent.run(SCENES["previous"][1], message_history=first.all_messages())
        return {"text": second.output}

    async def conversation(self, model: str) -> Seen:
        made = await AsyncOpenAI(base_url=V1, api_key=KEY, max_retries=0).conversations.create()
        settings = OpenAIResponsesModelSettings(openai_conversation_id=made.id)
        agent = Agent(self.made(model), model_settings=settings)
        for text in SCENES["conversation"]:
            result = await agent.run(text)
        return {"text": result.output}


perform(
    {"chat": Scenarios(chat), "responses": ResponsesScenarios(responses), "messages": Scenarios(messages)}
)
