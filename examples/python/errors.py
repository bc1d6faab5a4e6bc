"""What can go wrong, and what the client does about it by itself."""

import os

import openai
from openai import OpenAI

# Rate limits, overload and lost connections are tried again by the client, as soon as Retry-After permits.
client = OpenAI(
    base_url="http://127.0.0.1:5150/v1",
    api_key=os.environ["INGOT_API_KEY"],
    max_retries=4,
    timeout=120,
)

try:
    client.chat.completions.create(
        model="demo-tiny",
        messages=[{"role": "user", "content": "Hello!"}],
        temperature=3,
    )
except openai.BadRequestError as error:
    # `param` names the field by its path; the request id finds the call in the server's log.
    print(f"{error.param}: {error.code} (request {error.request_id})")

try:
    client.models.retrieve("no-such/model")
except openai.NotFoundError as error:
    print(f"{error.param}: {error.code}")
