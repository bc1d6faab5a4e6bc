"""The command line tool and library `llm`, with the server in its file of OpenAI-compatible models."""

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

FOLDER = Path(tempfile.mkdtemp())
os.environ["LLM_USER_PATH"] = str(FOLDER)  # read when the library is imported

import llm  # noqa: E402  # after its folder is known
from pydantic import BaseModel  # noqa: E402  # as above

from report import KEY, SCENES, UNKNOWN, V1, WRONG_KEY, Scenario, Seen, collect, perform, picture, raised, weather  # noqa: E402  # as above


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
        {"model_id": f"chat/{name}", "model_name": name, "api_base": V1, "api_key_name": "ingot", **abilities}
        for name in models
    ]
    # JSON is YAML.
    (FOLDER / "extra-openai-models.yaml").write_text(json.dumps(rows), encoding="utf-8")
    (FOLDER / "keys.json").write_text(json.dumps({"ingot": KEY}), encoding="utf-8")


def scenarios(surface: str) -> dict[str, Scenario]:
    """The scenarios on one of its two kinds of model."""

    def made(model: str) -> Any:
        return llm.get_async_model(f"{surface}/{model}")

    async def plain(model: str) -> Seen:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "llm", "-m", f"{surface}/{model}", "--no-log", SCENES["plain"],
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, _ = await process.communicate()
        return {"text": said.decode().strip()}

    async def stream(model: str) -> Seen:
        return await collect(made(model).prompt(SCENES["stream"]))

    async def usage(model: str) -> Seen:
        found = {}
        for name, streamed in (("whole", False), ("streamed", True)):
            counted = await (made(model).prompt(SCENES["plain"], stream=streamed)).usage()
            found[name] = [counted.input, counted.output]
        return found

    async def turns(model: str) -> Seen:
        conversation = made(model).conversation()
        await conversation.prompt(SCENES["turns"][0], system=SCENES["system"]).text()
        return {"text": await conversation.prompt(SCENES["turns"][1], system=SCENES["system"]).text()}

    async def image(model: str) -> Seen:
        shown = llm.Attachment(content=picture(), type="image/png")
        return {"text": await made(model).prompt(SCENES["image"], attachments=[shown]).text()}

    async def parse(model: str) -> Seen:
        text = await made(model).prompt(SCENES["parse"], schema=Pet).text()
        return {"value": Pet.model_validate_json(text).model_dump()}

    async def tools(model: str, asked: str = SCENES["tools"], *, stream: bool = False) -> Seen:
        offered = llm.Tool.function(weather)
        conversation = made(model).conversation()
        calls = await conversation.prompt(asked, tools=[offered], stream=stream).tool_calls()
        results = [
            llm.ToolResult(name=call.name, output=weather(**call.arguments), tool_call_id=call.tool_call_id)
            for call in calls
        ]
        said = await conversation.prompt(tool_results=results, tools=[offered], stream=stream).text()
        return {"calls": [[call.name, call.arguments] for call in calls], "text": said}

    async def loop(model: str) -> Seen:
        chain = made(model).chain(SCENES["tools"], tools=[weather])
        calls = []
        text = ""
        async for response in chain.responses():
            calls += [[call.name, call.arguments] for call in await response.tool_calls()]
            text = await response.text()
        return {"calls": calls, "text": text}

    async def fails(model: str, text: str, key: str = KEY) -> Seen:
        return await raised(lambda: made(model).prompt(text, key=key, stream=False).text())

    return {
        "plain": plain,
        "stream": stream,
        "usage": usage,
        "turns": turns,
        "image": image,
        "parse": parse,
        "tools": tools,
        "streamed tools": lambda model: tools(model, stream=True),
        "loop": loop,
        "parallel tools": lambda model: tools(model, SCENES["parallel"]),
        "400": lambda model: fails(model, SCENES["refused"]),
        "401": lambda model: fails(model, SCENES["plain"], WRONG_KEY),
        "404": lambda _: fails(UNKNOWN, SCENES["plain"]),
        "429": lambda model: fails(f"limited-{model}", SCENES["limited"]),
    }


asked = list(json.loads(os.environ["INGOT_MODELS"]))
configure([*asked, *(f"limited-{name}" for name in asked), UNKNOWN])
perform({"chat": scenarios("chat")})
