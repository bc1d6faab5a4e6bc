"""LangChain's ChatOpenAI, on chat completions and on responses, alone and in an agent."""

from functools import partial
from typing import Any

from chain import Scenarios
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI
from report import KEY, SCENES, V1, Seen, perform


def made(model: str, key: str = KEY, **more: Any) -> ChatOpenAI:
    """The library's model before the server."""
    return ChatOpenAI(model=model, base_url=V1, api_key=key, max_retries=0, stream_usage=True, **more)


class ResponsesScenarios(Scenarios):
    """What responses add."""

    async def previous(self, model: str) -> Seen:
        going_on = self.made(model, use_previous_response_id=True)
        said = [HumanMessage(SCENES["previous"][0])]
        said.append(await going_on.ainvoke(said))
        said.append(HumanMessage(SCENES["previous"][1]))
        return {"text": (await going_on.ainvoke(said)).text}

    async def conversation(self, model: str) -> Seen:
        made = await AsyncOpenAI(base_url=V1, api_key=KEY, max_retries=0).conversations.create()
        for text in SCENES["conversation"]:
            answer = await self.made(model).ainvoke(text, conversation=made.id)
        return {"text": answer.text}


perform(
    {
        "chat": Scenarios(partial(made, use_responses_api=False)),
        "responses": ResponsesScenarios(partial(made, use_responses_api=True)),
    }
)
