"""LangChain's ChatOpenAI, on chat completions and on responses, alone and in an agent."""

from functools import partial

from chain import Scenarios
from langchain_openai import ChatOpenAI
from report import KEY, V1, perform


def made(model: str, key: str = KEY, *, responses: bool) -> ChatOpenAI:
    """The library's model before the server."""
    return ChatOpenAI(
        model=model, base_url=V1, api_key=key, max_retries=0, use_responses_api=responses, stream_usage=True
    )


perform({"chat": Scenarios(partial(made, responses=False))})
