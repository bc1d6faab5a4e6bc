"""The OpenAI Agents SDK: its runner does the whole tool loop, on chat completions and on responses."""

import json
from collections.abc import AsyncIterator
from typing import Any, Literal

from agents import (
    Agent,
    Model,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIConversationsSession,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from agents.items import ToolCallItem
from agents.result import RunResultBase
from openai import AsyncOpenAI
from openai.types.responses import ResponseFunctionToolCall
from pydantic import BaseModel
from report import KEY, SCENES, V1, Seen, collect, perform, weather

TOOL = function_tool(weather)


class Owner(BaseModel):
    """Whose it is."""

    mood: Literal["glad", "grim"]


class Pet(BaseModel):
    """What a structured answer is parsed into."""

    kind: Literal["cat", "dog"]
    tame: bool
    owner: Owner


def told(result: RunResultBase) -> Seen:
    """The calls that the loop ran, and the last words."""
    raw = [item.raw_item for item in result.new_items if isinstance(item, ToolCallItem)]
    calls = [
        [call.name, json.loads(call.arguments)] for call in raw if isinstance(call, ResponseFunctionToolCall)
    ]
    return {"calls": calls, "text": str(result.final_output)}


class Scenarios:
    """The scenarios on one of the library's two models."""

    def __init__(self, kind: type[OpenAIChatCompletionsModel] | type[OpenAIResponsesModel]) -> None:
        self.kind = kind

    def agent(self, model: str, key: str = KEY, **more: Any) -> Agent[None]:
        """An agent before the server."""
        client = AsyncOpenAI(base_url=V1, api_key=key, max_retries=0)
        made: Model = self.kind(model=model, openai_client=client)
        return Agent(name="Tester", model=made, **more)

    async def ask(self, model: str, text: str, key: str) -> object:
        return await Runner.run(self.agent(model, key), text)

    async def plain(self, model: str) -> Seen:
        result = await Runner.run(self.agent(model), SCENES["plain"])
        return {"text": result.final_output}

    async def stream(self, model: str) -> Seen:
        result = Runner.run_streamed(self.agent(model), SCENES["stream"])

        async def pieces() -> AsyncIterator[str]:
            async for event in result.stream_events():
                if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                    yield event.data.delta

        return await collect(pieces())

    async def usage(self, model: str) -> Seen:
        whole = await Runner.run(self.agent(model), SCENES["plain"])
        settings = ModelSettings(include_usage=True)
        streamed = Runner.run_streamed(self.agent(model, model_settings=settings), SCENES["plain"])
        async for _ in streamed.stream_events():
            pass
        return {
            name: [result.context_wrapper.usage.input_tokens, result.context_wrapper.usage.output_tokens]
            for name, result in (("whole", whole), ("streamed", streamed))
        }

    async def turns(self, model: str) -> Seen:
        agent = self.agent(model, instructions=SCENES["system"])
        first = await Runner.run(agent, SCENES["turns"][0])
        said = [*first.to_input_list(), {"role": "user", "content": SCENES["turns"][1]}]
        return {"text": (await Runner.run(agent, said)).final_output}

    async def image(self, model: str) -> Seen:
        url = f"data:image/png;base64,{SCENES['png']}"
        content = [
            {"type": "input_text", "text": SCENES["image"]},
            {"type": "input_image", "image_url": url, "detail": "auto"},
        ]
        result = await Runner.run(self.agent(model), [{"role": "user", "content": content}])
        return {"text": result.final_output}

    async def parse(self, model: str) -> Seen:
        result = await Runner.run(self.agent(model, output_type=Pet), SCENES["parse"])
        return {"value": result.final_output_as(Pet, raise_if_incorrect_type=True).model_dump()}

    async def loop(self, model: str) -> Seen:
        return told(await Runner.run(self.agent(model, tools=[TOOL]), SCENES["tools"]))

    async def streamed_tools(self, model: str) -> Seen:
        result = Runner.run_streamed(self.agent(model, tools=[TOOL]), SCENES["tools"])
        async for _ in result.stream_events():
            pass
        return told(result)

    async def parallel_tools(self, model: str) -> Seen:
        settings = ModelSettings(parallel_tool_calls=True)
        agent = self.agent(model, tools=[TOOL], model_settings=settings)
        return told(await Runner.run(agent, SCENES["parallel"]))

    async def forced_tool(self, model: str) -> Seen:
        settings = ModelSettings(tool_choice="required", parallel_tool_calls=False)
        agent = self.agent(
            model, tools=[TOOL], model_settings=settings, tool_use_behavior="stop_on_first_tool"
        )
        return {"calls": told(await Runner.run(agent, SCENES["forced"]))["calls"]}


class ResponsesScenarios(Scenarios):
    """What responses add."""

    async def previous(self, model: str) -> Seen:
        first = await Runner.run(self.agent(model), SCENES["previous"][0])
        second = await Runner.run(
            self.agent(model), SCENES["previous"][1], previous_response_id=first.last_response_id
        )
        return {"text": second.final_output}

    async def conversation(self, model: str) -> Seen:
        session = OpenAIConversationsSession(
            openai_client=AsyncOpenAI(base_url=V1, api_key=KEY, max_retries=0)
        )
        for text in SCENES["conversation"]:
            result = await Runner.run(self.agent(model), text, session=session)
        return {"text": result.final_output}


set_tracing_disabled(disabled=True)
perform(
    {"chat": Scenarios(OpenAIChatCompletionsModel), "responses": ResponsesScenarios(OpenAIResponsesModel)}
)
