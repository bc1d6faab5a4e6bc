"""The scenarios that LangChain's chat models share, whichever API they speak."""

from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel
from report import SCENES, Seen, collect, weather

Made = Callable[..., BaseChatModel]
OFFERED = tool(weather)


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


class Scenarios:
    """The scenarios on one chat model."""

    def __init__(self, made: Made) -> None:
        self.made = made

    async def ask(self, model: str, text: str, key: str) -> object:
        return await self.made(model, key=key).ainvoke(text)

    async def plain(self, model: str) -> Seen:
        return {"text": (await self.made(model).ainvoke(SCENES["plain"])).text}

    async def stream(self, model: str) -> Seen:
        async def pieces() -> AsyncIterator[str]:
            async for chunk in self.made(model).astream(SCENES["stream"]):
                yield chunk.text

        return await collect(pieces())

    async def usage(self, model: str) -> Seen:
        whole = await self.made(model).ainvoke(SCENES["plain"])
        chunks = [chunk async for chunk in self.made(model).astream(SCENES["plain"])]
        summed = sum(chunks[1:], start=chunks[0])
        return {
            name: [message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]]
            for name, message in (("whole", whole), ("streamed", summed))
        }

    async def turns(self, model: str) -> Seen:
        said = [SystemMessage(SCENES["system"]), HumanMessage(SCENES["turns"][0])]
        first = await self.made(model).ainvoke(said)
        second = await self.made(model).ainvoke([*said, first, HumanMessage(SCENES["turns"][1])])
        return {"text": second.text}

    async def image(self, model: str) -> Seen:
        block = {"type": "image", "base64": SCENES["png"], "mime_type": "image/png"}
        asked = HumanMessage([{"type": "text", "text": SCENES["image"]}, block])
        return {"text": (await self.made(model).ainvoke([asked])).text}

    async def parse(self, model: str) -> Seen:
        by_tool = self.made(model).with_structured_output(Pet, method="function_calling")
        Pet.model_validate(await by_tool.ainvoke(SCENES["parse"]))
        by_schema = self.made(model).with_structured_output(Pet, method="json_schema")
        return {"value": (await by_schema.ainvoke(SCENES["parse"])).model_dump()}

    async def tools(self, model: str, asked: str = SCENES["tools"]) -> Seen:
        bound = self.made(model).bind_tools([OFFERED])
        said: list[BaseMessage] = [HumanMessage(asked)]
        said.append(await bound.ainvoke(said))
        said += [await OFFERED.ainvoke(call) for call in said[-1].tool_calls]
        said.append(await bound.ainvoke(said))
        return {"calls": calls_in(said), "text": said[-1].text}

    async def parallel_tools(self, model: str) -> Seen:
        return await self.tools(model, SCENES["parallel"])

    async def streamed_tools(self, model: str) -> Seen:
        bound = self.made(model).bind_tools([OFFERED])
        said: list[BaseMessage] = [HumanMessage(SCENES["tools"])]
        chunks = [chunk async for chunk in bound.astream(said)]
        first = sum(chunks[1:], start=chunks[0])
        said.append(first)
        said += [ToolMessage(weather(**call["args"]), tool_call_id=call["id"]) for call in first.tool_calls]
        told = await collect([chunk.text async for chunk in bound.astream(said)])
        return {"calls": calls_in(said), "text": told["text"]}

    async def loop(self, model: str) -> Seen:
        agent = create_agent(self.made(model), [OFFERED], system_prompt=SCENES["system"])
        state = await agent.ainvoke({"messages": [HumanMessage(SCENES["tools"])]})
        return {"calls": calls_in(state["messages"]), "text": state["messages"][-1].text}

    async def forced_tool(self, model: str) -> Seen:
        bound = self.made(model).bind_tools([OFFERED], tool_choice="weather", parallel_tool_calls=False)
        return {"calls": calls_in([await bound.ainvoke(SCENES["forced"])])}
