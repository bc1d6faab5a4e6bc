"""The model calls a function of ours, and answers with what it returned."""

import json
import os

from openai import OpenAI
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam

client = OpenAI(base_url="http://127.0.0.1:5150/v1", api_key=os.environ["INGOT_API_KEY"])


def get_weather(city: str) -> dict[str, object]:
    """The function; a real one would ask a weather service."""
    return {"city": city, "sky": "clear", "celsius": 21}


weather: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
        },
    },
}
messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is the weather in Paris?"}]

asked = client.chat.completions.create(
    model="demo-tiny",
    messages=messages,
    tools=[weather],
    tool_choice="required",
    parallel_tool_calls=False,
)
calls = [call for call in asked.choices[0].message.tool_calls or [] if call.type == "function"]
messages.append(
    {
        "role": "assistant",
        "tool_calls": [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
            for call in calls
        ],
    }
)
for call in calls:
    print(f"the model calls {call.function.name}({call.function.arguments})")
    result = get_weather(**json.loads(call.function.arguments))
    messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})

answer = client.chat.completions.create(
    model="demo-tiny", messages=messages, tools=[weather], tool_choice="none"
)
print(answer.choices[0].message.content)
