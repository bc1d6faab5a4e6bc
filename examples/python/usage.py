"""What was used and what it cost: a summary, a breakdown by model, and the last requests."""

import os
from typing import Any

from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:5150/v1", api_key=os.environ["INGOT_API_KEY"])

client.chat.completions.create(model="demo-tiny", messages=[{"role": "user", "content": "Hello!"}])

# The client has no methods for these; it sends the key all the same, and retries.
summary: dict[str, Any] = client.get("/usage", options={"params": {"range": "7d"}}, cast_to=object)
print(f"{summary['tokens']['total']} tokens for {summary['period_spend'] / 100:.6f} USD in 7 days")

breakdown: dict[str, Any] = client.get(
    "/usage/breakdown", options={"params": {"range": "24h"}}, cast_to=object
)
for model in breakdown["models"]:
    print(
        f"{model['model']}: {model['input_tokens']} in, {model['output_tokens']} out, {model['percentage']} %"
    )

requests: dict[str, Any] = client.get("/usage/requests", options={"params": {"limit": 3}}, cast_to=object)
for request in requests["data"]:
    print(
        f"{request['response_id']}: {request['status']}, {request['duration_ms']} ms, {request['cost_usd']} USD"
    )
