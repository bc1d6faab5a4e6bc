"""LangChain's ChatAnthropic, on Anthropic's messages, alone and in an agent."""

from chain import Scenarios
from langchain_anthropic import ChatAnthropic
from report import KEY, URL, perform


def made(model: str, key: str = KEY) -> ChatAnthropic:
    """The library's model before the server."""
    return ChatAnthropic(model=model, base_url=URL, api_key=key, max_retries=0, max_tokens=256)


perform({"messages": Scenarios(made)})
