"""A request that may be sent again without being run or paid twice."""

import os
import uuid

import openai
from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:5150/v1", api_key=os.environ["INGOT_API_KEY"])

# One key for what is to happen once. Keep it where a restart of your program finds it again.
once = {"Idempotency-Key": str(uuid.uuid4())}


def ask(text: str) -> tuple[str, bytes]:
    """Whether the answer came from the store, and its bytes."""
    answer = client.chat.completions.with_raw_response.create(
        model="demo-tiny",
        messages=[{"role": "user", "content": text}],
        extra_headers=once,
    )
    return answer.headers.get("idempotent-replayed", "false"), answer.content


replayed, first = ask("Hello! What is this server?")
print(f"replayed: {replayed}")

# As after a lost connection or a crash: the model is not asked again, and nothing is charged.
replayed, second = ask("Hello! What is this server?")
print(f"replayed: {replayed}, the same bytes: {first == second}")

try:
    ask("Something else")
except openai.BadRequestError as error:
    print(f"another question with the same key: {error.type}")
