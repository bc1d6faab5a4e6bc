"""The scenarios that LangChain's chat models share, whichever API they speak."""

from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from report import SCENES, UNKNOWN, WRONG_KEY, Scenario, Seen, collect, raised, weather

Made = Callable[..., BaseChatModel]


class Owner(BaseModel):
    """Whose it is."""

    mood: Literal["glad", "grim"]


class Pet(BaseModel):
    """What a structured answer is parsed into."""

    kind: Literal["cat", "dog"]
    tame: bool
    owner: Owner


def calls_in(messages: list[BaseMessage]) -> list[Any]:
    """The tool calls of a conversation."""
    said = [message for message in messages if isinstance(message, AIMessage)]
    return [[call["name"], call["args"]] for message in said for call in message.tool_calls]


def scenarios(made: Made) -> dict[str, Scenario]:
    """The scenarios on one chat model."""
    offered = tool(weather)

    async def plain(model: str) -> Seen:
        return {"text": (await made(model).ainvoke(SCENES["plain"])).text}

    async def stream(model: str) -> Seen:
        async def pieces() -> AsyncIterator[str]:
            async for chunk in made(model).astream(SCENES["stream"]):
                yield chunk.text

        return await collect(pieces())

    async def usage(model: str) -> Seen:
        whole = await made(model).ainvoke(SCENES["plain"])
        chunks = [chunk async for chunk in made(model).astream(SCENES["plain"])]
        summed = sum(chunks[1:], start=chunks[0])
        return {
            name: [message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]]
            for name, message in (("whole", whole), ("streamed", summed))
        }

    async def turns(model: str) -> Seen:
        said = [SystemMessage(SCENES["system"]), HumanMessage(SCENES["turns"][0])]
        first = await made(model).ainvoke(said)
        second = await made(model).ainvoke([*said, first, HumanMessage(SCENES["turns"][1])])
        return {"text": second.text}

    async def image(model: str) -> Seen:
        block = {"type": "image", "base64": SCENES["png"], "mime_type": "image/png"}
        asked = HumanMessage([{"type": "text", "text": SCENES["image"]}, block])
        return {"text": (await made(model).ainvoke([asked])).text}

    async def parse(model: str) -> Seen:
        by_schema = made(model).with_structured_output(Pet, method="json_schema")
        by_tool = made(model).with_structured_output(Pet, method="function_calling")
        found = [await each.ainvoke(SCENES["parse"]) for each in (by_schema, by_tool)]
        if found[0] != found[1]:
            raise ValueError(f"{found[0]} by a schema, {found[1]} by a tool")
        return {"value": found[0].model_dump()}

    async def tools(model: str, asked: str = SCENES["tools"]) -> Seen:
        bound = made(model).bind_tools([offered])
        said: list[BaseMessage] = [HumanMessage(asked)]
        said.append(await bound.ainvoke(said))
        said += [await offered.ainvoke(call) for call in said[-1].tool_calls]
        said.append(await bound.ainvoke(said))
        return {"calls": calls_in(said), "text": said[-1].text}

    async def streamed_tools(model: str) -> Seen:
        bound = made(model).bind_tools([offered])
        said: list[BaseMessage] = [HumanMessage(SCENES["tools"])]
        chunks = [chunk async for chunk in bound.astream(said)]
        first = sum(chunks[1:], start=chunks[0])
        said.append(first)
        said += [ToolMessage(weather(**call["args"]), tool_call_id=call["id"]) for call in first.tool_calls]
        told = await collect([chunk.text async for chunk in bound.astream(said)])
        return {"calls": calls_in(said), "text": told["text"]}

    async def loop(model: str) -> Seen:
        agent = create_agent(made(model), [offered], system_prompt=SCENES["system"])
        state = await agent.ainvoke({"messages": [HumanMessage(SCENES["tools"])]})
        return {"calls": calls_in(state["messages"]), "text": state["messages"][-1].text}

    async def forced(model: str) -> Seen:
        bound = made(model).bind_tools([offered], tool_choice="weather", parallel_tool_calls=False)
        return {"calls": calls_in([await bound.ainvoke(SCENES["forced"])])}

    async def fails(model: str, text: str, **more: str) -> Seen:
        return await raised(lambda: made(model, **more).ainvoke(text))

    return {
        "plain": plain,
        "stream": stream,
        "usage": usage,
        "turns": turns,
        "image": image,
        "parse": parse,
        "tools": tools,
        "streamed tools": streamed_tools,
        "loop": loop,
        "parallel tools": lambda model: tools(model, SCENES["parallel"]),
        "forced tool": forced,
        "400": lambda model: fails(model, SCENES["refused"]),
        "401": lambda model: fails(model, SCENES["plain"], key=WRONG_KEY),
        "404": lambda _: fails(UNKNOWN, SCENES["plain"]),
        "429": lambda model: fails(f"limited-{model}", SCENES["limited"]),
    }
