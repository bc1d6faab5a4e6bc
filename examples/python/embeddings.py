"""How alike two texts are, by the angle between their embeddings."""

import os

from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:5150/v1", api_key=os.environ["INGOT_API_KEY"])

answer = client.embeddings.create(model="demo-tiny", input=["a cat", "a dog"])
cat, dog = (item.embedding for item in answer.data)
likeness = sum(a * b for a, b in zip(cat, dog, strict=True))
print(f"{len(cat)} dimensions, cosine {likeness:.3f}")
