"""The API for models and the admin API have nothing in common: no cookie opens /v1."""

import pytest

from served import Served


@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions", "/v1/embeddings"])
def test_cookie_opens_nothing_when_a_model_is_asked(relay: Served, path: str) -> None:
    """S07: whatever a browser carries, /v1 asks for a key, and no answer lets another site read it with credentials."""
    body = None if path == "/v1/models" else {"model": "mock", "messages": []}
    cookie = "__Host-sid=" + "a" * 64 + "; sid=" + "a" * 64
    headers = {"cookie": cookie, "origin": "https://evil.example"}
    status, answered, _ = relay.call(path, body, headers=headers, key=None)
    assert status == 401
    assert not [name for name in answered if name.startswith(("access-control", "set-cookie"))]
