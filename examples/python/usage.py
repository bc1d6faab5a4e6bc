"""What was used and what it cost: a summary, a breakdown by model, and the last requests."""

import os
from typing import Any

from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:5150/v1", api_key=os.environ["INGOT_API_KEY"])


def read(path: str) -> dict[str, Any]:
    """A page for which the client has no method: it sends the key all the same, and retries."""
    return client.get(path, cast_to=dict[str, Any])


client.chat.completions.create(model="demo-tiny", messages=[{"role": "user", "content": "Hello!"}])

summary = read("/usage?range=7d")
print(f"{summary['tokens']['total']} tokens for {summary['period_spend'] / 100:.6f} USD in 7 days")

for model in read("/usage/breakdown?range=24h")["models"]:
    print(f"{model['model']}: {model['input_tokens']} in, {model['output_tokens']} out")

for request in read("/usage/requests?limit=3")["data"]:
    print(f"{request['response_id']}: {request['status']}, {request['cost_usd']} USD")
