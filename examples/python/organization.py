"""An organization set up over the admin API; it runs out of credit, is refused, is topped up, and is answered.

For a server that was started with `ingot serve --config examples/priced.toml`. INGOT_ADMIN_KEY is a key that
`ingot keys create --name admin --admin` made.
"""

import json
import os
import uuid
from typing import Any
from urllib.request import Request, urlopen

import openai
from openai import OpenAI

SERVER = "http://127.0.0.1:5150"
run = uuid.uuid4().hex[:8]  # what makes the names new each time


def admin(path: str, body: dict[str, Any]) -> Any:
    """What the admin API answers to a POST."""
    headers = {
        "Authorization": f"Bearer {os.environ['INGOT_ADMIN_KEY']}",
        "Content-Type": "application/json",
    }
    request = Request(f"{SERVER}/admin/v1/{path}", data=json.dumps(body).encode(), headers=headers)
    with urlopen(request, timeout=60) as answer:
        return json.load(answer)


plan = admin("plans", {"name": f"team-{run}", "rpm": 600, "keys": 5})
org = admin("organizations", {"name": f"Engines {run}", "plan": plan["name"], "prepaid": True})["id"]
# They become members by the link in the mail, also while sign-up is closed.
for person, role in (("ada", "owner"), ("bob", "member")):
    sent = admin(f"organizations/{org}/invitations", {"email": f"{person}-{run}@example.org", "role": role})
    print(f"invited {sent['email']} as {sent['role']}")
key = admin(f"organizations/{org}/keys", {"name": "app", "user": None, "rpm": 300})["key"]

# A promo code is the first credit. A call needs as much as it could cost at most.
code = admin("promos", {"amount": "0.05", "most_uses": 1})["code"]
admin(f"organizations/{org}/promos/redeem", {"code": code})

client = OpenAI(base_url=f"{SERVER}/v1", api_key=key)


def ask() -> str:
    """The model's answer."""
    answer = client.chat.completions.create(
        model="priced", messages=[{"role": "user", "content": "Hello!"}], max_tokens=32
    )
    return answer.choices[0].message.content or ""


try:
    while True:
        print(f"answered: {ask()}")
except openai.APIStatusError as error:
    print(f"refused with {error.status_code} {error.code}")

# The same reference again would count once: a payment cannot be booked twice.
admin("credits/topups", {"organization": org, "amount": "5", "reference": f"payment-{run}"})
print(f"after the top-up: {ask()}")
