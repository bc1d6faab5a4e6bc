"""Webhooks through a whole server: what requests order and endpoints subscribe to arrives, as its object is read, once signed."""

from typing import Any

from receiver import Receiver
from rig import Backstage
from served import Served

PRICE = "price = { input = 1, output = 2 }"
CONFIG = f"""
    [targets.up]
    base_url = "{{up}}"
    dialects = ["chat"]
    breaker = {{{{ failures = 1000 }}}}
    [models.mock]
    targets = ["up"]
    windows = ["asap", "standard"]
    {PRICE}
    attempts = 1
    [hosts]
    "valar.example.org" = "valar"
"""
SURFACES: dict[str, Any] = {
    "/v1/chat/completions": lambda text: {"messages": [{"role": "user", "content": text}]},
    "/v1/messages": lambda text: {"messages": [{"role": "user", "content": text}], "max_tokens": 50},
    "/v1/responses": lambda text: {"input": text},
}
VALAR = {"host": "valar.example.org"}

Scene = tuple[Served, Backstage, Receiver]
