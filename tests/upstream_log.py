"""What the scripted upstream keeps of each request: the record that tests read, and the request while it arrives."""

from dataclasses import dataclass, field
from typing import Any

from upstream_answers import text_of
from upstream_opaque import prompts_of
from upstream_script import Step


@dataclass(slots=True)
class Record:
    """One request as it came, and how far its answer got. Times are of time.monotonic()."""

    id: int
    connection: int
    method: str
    path: str
    headers: dict[str, str]  # names in lower case; the last one of a name counts
    body: bytes
    json: Any  # None where the body is no JSON
    started: float
    step: Step = field(default_factory=Step)
    status: int | None = None
    events: int = 0  # data events whose bytes the kernel took, [DONE] included
    sent: int = 0  # bytes that the kernel took, headers included
    finished: float | None = None  # the whole answer, or the scripted cut, is out
    aborted: float | None = None  # the peer left before that

    @property
    def prompt(self) -> str:
        """All text of the request in which a marker may stand."""
        if not isinstance(self.json, dict):
            return ""
        told = [text_of(message) for message in self.json.get("messages") or ()]
        items = self.json.get("input")
        told += [text_of(item) for item in items if isinstance(item, dict)] if isinstance(items, list) else []
        return "\n".join(told + prompts_of(self.json, "prompt") + prompts_of(self.json, "input"))


@dataclass(slots=True)
class Request:
    """A request while the parser fills it."""

    method: str = ""
    target: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
