"""The command line tool and library `llm`, with the server in its file of OpenAI-compatible models."""

import asyncio
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Literal

FOLDER = Path(tempfile.mkdtemp())
SURFACES = ("chat", "responses")
os.environ["LLM_USER_PATH"] = str(FOLDER)  # read when the library is imported

import llm  # noqa: E402  # after its folder is known
from click.testing import CliRunner  # noqa: E402  # as above
from llm.cli import cli  # noqa: E402  # as above
from pydantic import BaseModel  # noqa: E402  # as above
from report import KEY, SCENES, UNKNOWN, V1, Seen, collect, perform, picture, weather  # noqa: E402  # as above


class Owner(BaseModel):
    """Whose it is."""

    mood: Literal["glad", "grim"]


class Pet(BaseModel):
    """What a structured answer is parsed into."""

    kind: Literal["cat", "dog"]
    tame: bool
    owner: Owner


def configure(models: list[str]) -> None:
    """Writes what a user writes: the models and the key."""
    abilities = {"supports_schema": True, "supports_tools": True, "vision": True, "can_stream": True}
    rows = [
        {
            "model_id": f"{surface}/{name}",
            "model_name": name,
            "api_base": V1,
            "api_key_name": "ingot",
            "responses": surface == "responses",
            **abilities,
        }
        for surface in SURFACES
        for name in models
    ]
    # JSON is YAML.
    (FOLDER / "extra-openai-models.yaml").write_text(json.dumps(rows), encoding="utf-8")
    (FOLDER / "keys.json").write_text(json.dumps({"ingot": KEY}), encoding="utf-8")


class Scenarios:
    """The scenarios on one of its two kinds of model."""

    def __init__(self, surface: str) -> None:
        self.surface = surface

    def made(self, model: str) -> Any:
        """The library's model before the server."""
        return llm.get_async_model(f"{self.surface}/{model}")

    async def ask(self, model: str, text: str, key: str) -> object:
        return await self.made(model).prompt(text, key=key, stream=False).text()

    async def plain(self, model: str) -> Seen:
        command = ["-m", f"{self.surface}/{model}", "--no-log", SCENES["plain"]]
        done = await asyncio.to_thread(CliRunner().invoke, cli, command)
        return {"text": done.output.strip()}

    async def stream(self, model: str) -> Seen:
        return await collect(self.made(model).prompt(SCENES["stream"]))

    async def usage(self, model: str) -> Seen:
        found = {}
        for name, streamed in (("whole", False), ("streamed", True)):
            counted = await (self.made(model).prompt(SCENES["plain"], stream=streamed)).usage()
            found[name] = [counted.input, counted.output]
        return found

    async def turns(self, model: str) -> Seen:
        conversation = self.made(model).conversation()
        await conversation.prompt(SCENES["turns"][0], system=SCENES["system"]).text()
        return {"text": await conversation.prompt(SCENES["turns"][1], system=SCENES["system"]).text()}

    async def image(self, model: str) -> Seen:
        shown = llm.Attachment(content=picture(), type="image/png")
        return {"text": await self.made(model).prompt(SCENES["image"], attachments=[shown]).text()}

    async def parse(self, model: str) -> Seen:
        text = await self.made(model).prompt(SCENES["parse"], schema=Pet).text()
        return {"value": Pet.model_validate_json(text).model_dump()}

    async def tools(self, model: str, asked: str = SCENES["tools"], *, stream: bool = False) -> Seen:
        offered = llm.Tool.function(weather)
        conversation = self.made(model).conversation()
        calls = await conversation.prompt(asked, tools=[offered], stream=stream).tool_calls()
        results = [
            llm.ToolResult(name=call.name, output=weather(**call.arguments), tool_call_id=call.tool_call_id)
            for call in calls
        ]
        said = await conversation.prompt(tool_results=results, tools=[offered], stream=stream).text()
        return {"calls": [[call.name, call.arguments] for call in calls], "text": said}

    async def streamed_tools(self, model: str) -> Seen:
        return await self.tools(model, stream=True)

    async def parallel_tools(self, model: str) -> Seen:
        return await self.tools(model, SCENES["parallel"])

    async def loop(self, model: str) -> Seen:
        chain = self.made(model).chain(SCENES["tools"], tools=[weather])
        calls = []
        text = ""
        async for response in chain.responses():
            calls += [[call.name, call.arguments] for call in await response.tool_calls()]
            text = await response.text()
        return {"calls": calls, "text": text}


asked = list(json.loads(os.environ["INGOT_MODELS"]))
configure([*asked, *(f"limited-{name}" for name in asked), UNKNOWN])
perform({surface: Scenarios(surface) for surface in SURFACES})
