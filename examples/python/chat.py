"""A question and its answer."""

import os

from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:5150/v1", api_key=os.environ["INGOT_API_KEY"])

answer = client.chat.completions.create(
    model="demo-tiny",
    messages=[{"role": "user", "content": "Hello! What is this server?"}],
)
print(answer.choices[0].message.content)
