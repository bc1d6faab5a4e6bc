"""The words in which the tables of features are written: messages, parts, tools and calls of each dialect."""

from typing import Any

Json = dict[str, Any]
Asked = dict[str, Json]

# One grey pixel.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2kUIOwAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjcKJcOkw7zDtg=="
CITY: Json = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SCORE: Json = {
    "type": "object",
    "properties": {"score": {"type": "integer"}, "why": {"type": "string"}},
    "required": ["score", "why"],
    "additionalProperties": False,
}
GRAMMAR = 'start: "SELECT " WORD'
HINT: Json = {"type": "ephemeral", "ttl": "1h"}
SEALED = "gAAAAABo8MHi"
SIGNED = "EqQBCkYIBxgC"


def chat(*messages: Json, **fields: Any) -> Json:
    """A chat request; without messages a greeting."""
    return {"model": "demo", "messages": list(messages) or [user("Hello")], **fields}


def mess(*messages: Json, **fields: Any) -> Json:
    """A messages request."""
    return {"model": "demo", "max_tokens": 9000, "messages": list(messages) or [user("Hello")], **fields}


def resp(*items: Json, **fields: Any) -> Json:
    """A responses request; `input` is a string where no item is given."""
    return {"model": "demo", "input": list(items) or "Hello", **fields}


def every(chat_fields: Json, messages_fields: Json, responses_fields: Json) -> Asked:
    """A greeting with settings."""
    return {
        "chat": chat(**chat_fields),
        "messages": mess(**messages_fields),
        "responses": resp(**responses_fields),
    }


def said(role: str, content: Any, **fields: Any) -> Json:
    """A message of any dialect."""
    return {"role": role, "content": content, **fields}


def user(*content: Any) -> Json:
    """What the user says: a string, or parts."""
    return said("user", content[0] if isinstance(content[0], str) else list(content))


def text(told: str, kind: str = "text") -> Json:
    """A text part."""
    return {"type": kind, "text": told}


def function(name: str, schema: Json, **fields: Any) -> Json:
    """A function as `chat` offers it."""
    return {"type": "function", "function": {"name": name, "parameters": schema, **fields}}


def call(number: int, name: str, arguments: str) -> Json:
    """A call as `chat` writes it."""
    return {
        "id": f"call_{number}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def tool_use(number: int, name: str, given: Json, **fields: Any) -> Json:
    """A call as `messages` writes it."""
    return {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": given, **fields}


def result(number: int, content: Any, **fields: Any) -> Json:
    """A tool's result as `messages` writes it."""
    return {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": content, **fields}


def function_call(number: int, name: str, arguments: str) -> Json:
    """A call as `responses` writes it."""
    return {"type": "function_call", "call_id": f"call_{number}", "name": name, "arguments": arguments}


def output(number: int, told: Any) -> Json:
    """A tool's result as `responses` writes it."""
    return {"type": "function_call_output", "call_id": f"call_{number}", "output": told}


IMAGE: Json = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
LINK = "https://example.com/cat.png"
DATA = f"data:image/png;base64,{PNG}"
WEATHER = function("weather", CITY, description="The weather in a city.")
WEATHER_TOOL: Json = {"name": "weather", "description": "The weather in a city.", "input_schema": CITY}
WEATHER_FLAT: Json = {
    "type": "function",
    "name": "weather",
    "description": "The weather in a city.",
    "parameters": CITY,
    "strict": False,
}
