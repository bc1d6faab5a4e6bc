"""The texts in a chat answer or a chunk of one, for those who move them; whatever is shaped otherwise is left alone."""

from collections.abc import Iterator
from typing import Any

Pair = tuple[dict[str, Any], dict[str, Any]]


def texts(value: Any, key: str) -> Iterator[Pair]:
    """Each choice with its `message` or `delta`, whose `content` is text, empty where there is none."""
    choices = value.get("choices") if isinstance(value, dict) else None
    for choice in choices if isinstance(choices, list) else ():
        said = choice.get(key) if isinstance(choice, dict) else None
        if isinstance(said, dict) and isinstance(said.setdefault("content", None), str | None):
            said["content"] = said["content"] or ""
            yield choice, said
