"""The OpenAI Agents SDK: its runner does the whole tool loop, on chat completions and on responses."""

import json
from typing import Literal

from agents import (
    Agent,
    Model,
    ModelSettings,
    OpenAIChatCompletionsModel,
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

from report import KEY, SCENES, UNKNOWN, V1, WRONG_KEY, Scenario, Seen, collect, perform, raised, weather

Kind = type[OpenAIChatCompletionsModel] | type[OpenAIResponsesModel]


class Owner(BaseModel):
    """Whose it is."""

    mood: Literal["glad", "grim"]


class Pet(BaseModel):
    """What a structured answer is parsed into."""

    kind: Literal["cat", "dog"]
    tame: bool
    owner: Owner


def model_of(kind: Kind, model: str, key: str = KEY) -> Model:
    """The library's model before the server."""
    return kind(model=model, openai_client=AsyncOpenAI(base_url=V1, api_key=key, max_retries=0))


def told(result: RunResultBase) -> Seen:
    """The calls that the loop ran, and the last words."""
    raw = [item.raw_item for item in result.new_items if isinstance(item, ToolCallItem)]
    calls = [[call.name, json.loads(call.arguments)] for call in raw if isinstance(call, ResponseFunctionToolCall)]
    return {"calls": calls, "text": str(result.final_output)}


def scenarios(kind: Kind) -> dict[str, Scenario]:
    """The scenarios on one of the library's two models."""
    tool = function_tool(weather)

    def agent(model: str, **more: object) -> Agent[None]:
        return Agent(name="Tester", model=model_of(kind, model), **more)  # type: ignore[arg-type]  # checked by the library

    async def plain(model: str) -> Seen:
        result = await Runner.run(agent(model), SCENES["plain"])
        return {"text": result.final_output}

    async def stream(model: str) -> Seen:
        result = Runner.run_streamed(agent(model), SCENES["stream"])

        async def pieces() -> object:
            async for event in result.stream_events():
                if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                    yield event.data.delta

        return await collect(pieces())

    async def usage(model: str) -> Seen:
        whole = await Runner.run(agent(model), SCENES["plain"])
        settings = ModelSettings(include_usage=True)
        streamed = Runner.run_streamed(agent(model, model_settings=settings), SCENES["plain"])
        async for _ in streamed.stream_events():
            pass
        return {
            name: [result.context_wrapper.usage.input_tokens, result.context_wrapper.usage.output_tokens]
            for name, result in (("whole", whole), ("streamed", streamed))
        }

    async def turns(model: str) -> Seen:
        first = await Runner.run(agent(model, instructions=SCENES["system"]), SCENES["turns"][0])
        said = [*first.to_input_list(), {"role": "user", "content": SCENES["turns"][1]}]
        second = await Runner.run(agent(model, instructions=SCENES["system"]), said)
        return {"text": second.final_output}

    async def image(model: str) -> Seen:
        url = f"data:image/png;base64,{SCENES['png']}"
        content = [
            {"type": "input_text", "text": SCENES["image"]},
            {"type": "input_image", "image_url": url, "detail": "auto"},
        ]
        result = await Runner.run(agent(model), [{"role": "user", "content": content}])
        return {"text": result.final_output}

    async def parse(model: str) -> Seen:
        result = await Runner.run(agent(model, output_type=Pet), SCENES["parse"])
        return {"value": result.final_output_as(Pet, raise_if_incorrect_type=True).model_dump()}

    async def loop(model: str) -> Seen:
        return told(await Runner.run(agent(model, tools=[tool]), SCENES["tools"]))

    async def streamed_tools(model: str) -> Seen:
        result = Runner.run_streamed(agent(model, tools=[tool]), SCENES["tools"])
        async for _ in result.stream_events():
            pass
        return told(result)

    async def parallel(model: str) -> Seen:
        settings = ModelSettings(parallel_tool_calls=True)
        return told(await Runner.run(agent(model, tools=[tool], model_settings=settings), SCENES["parallel"]))

    async def forced(model: str) -> Seen:
        settings = ModelSettings(tool_choice="required", parallel_tool_calls=False)
        made = agent(model, tools=[tool], model_settings=settings, tool_use_behavior="stop_on_first_tool")
        return {"calls": told(await Runner.run(made, SCENES["forced"]))["calls"]}

    async def fails(model: str, text: str, key: str = KEY) -> Seen:
        made = Agent(name="Tester", model=model_of(kind, model, key))
        return await raised(lambda: Runner.run(made, text))

    return {
        "plain": plain,
        "stream": stream,
        "usage": usage,
        "turns": turns,
        "image": image,
        "parse": parse,
        "loop": loop,
        "streamed tools": streamed_tools,
        "parallel tools": parallel,
        "forced tool": forced,
        "400": lambda model: fails(model, SCENES["refused"]),
        "401": lambda model: fails(model, SCENES["plain"], WRONG_KEY),
        "404": lambda _: fails(UNKNOWN, SCENES["plain"]),
        "429": lambda model: fails(f"limited-{model}", SCENES["limited"]),
    }


set_tracing_disabled(disabled=True)
perform({"chat": scenarios(OpenAIChatCompletionsModel)})
