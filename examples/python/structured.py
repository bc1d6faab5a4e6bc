"""An answer that fits a schema, as an instance of a class."""

import os

from openai import OpenAI
from pydantic import BaseModel, Field

client = OpenAI(base_url="http://127.0.0.1:5150/v1", api_key=os.environ["INGOT_API_KEY"])


class Person(BaseModel):
    """What the answer is to hold; bounds keep a small model from talking on."""

    name: str = Field(max_length=20)
    age: int


answer = client.chat.completions.parse(
    model="demo-tiny",
    messages=[{"role": "user", "content": "Anna is 31 years old."}],
    response_format=Person,
)
print(answer.choices[0].message.parsed)
