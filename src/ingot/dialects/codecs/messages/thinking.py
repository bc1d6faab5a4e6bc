"""How much a model shall think, both ways.

    thinking         enabled with a budget - adaptive - disabled         and what of it is shown
    output_config    effort

Decides which of these another dialect's effort becomes: a budget under the older version of the wire, or where the
target refuses to leave it to the model, an effort under the newer one. Knows no model: what none of a target's can do
is for its quirks to say (`thinking.adaptive`, `thinking.enabled`).
"""

from math import ceil
from typing import Any, Final, Literal

from msgspec import Raw

from ingot.canonical import Kind, Loss, Part, Reasoning, ReasoningSettings, Request, ToolCall, lost_extras
from ingot.dialects.codec import Destination
from ingot.dialects.codecs.messages import checks
from ingot.dialects.codecs.messages.versions import Rules
from ingot.dialects.cuts import dump
from ingot.dialects.efforts import LEAST_BUDGET, budget_of, nearest_effort

Json = dict[str, Any]

EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
# What is left for the answer itself where the client set no bound of the whole.
ROOM: Final = 8_000
# Of a bound that the client set, one token in so many is the answer's at least: thoughts that take all leave none.
SHARE: Final = 4
_MODES: Final[dict[str, Literal["enabled", "disabled", "adaptive"]]] = {
    "enabled": "enabled",
    "disabled": "disabled",
    "adaptive": "adaptive",
}
_SHOWN: Final = {"summarized": "auto", "omitted": "none"}
_DISPLAYS: Final = {
    "none": "omitted",
    "auto": "summarized",
    "concise": "summarized",
    "detailed": "summarized",
}
_KNOWN: Final = frozenset({"type", "budget_tokens", "display"})
_FORCING: Final = frozenset({"any", "tool"})


def decode_reasoning(value: Json, rest: dict[str, Raw]) -> ReasoningSettings | None:
    """The settings; fields and kinds of thinking that nobody here knows go to `rest`."""
    config = checks.members(value, "output_config") or {}
    effort = checks.text(config, "effort", path="output_config")
    thinking = checks.members(value, "thinking") or {}
    mode = _MODES.get(checks.text(thinking, "type", path="thinking") or "")
    if thinking and mode is None:
        rest["thinking"] = Raw(dump(thinking))
        thinking = {}
    budget = checks.integer(thinking, "budget_tokens", path="thinking")
    display = checks.text(thinking, "display", path="thinking")
    unknown = {name for name in thinking if name not in _KNOWN and thinking[name] is not None}
    if display is not None and display not in _SHOWN:
        unknown.add("display")
    rest.update({f"thinking.{name}": Raw(dump(thinking[name])) for name in sorted(unknown)})
    if effort is None and mode is None:
        return None
    return ReasoningSettings(
        effort=effort, budget=budget, mode=mode, summary=_SHOWN.get(display) if display else None
    )


class ThinkingWriter:
    """Says the settings of one request to one target, and notes what is lost."""

    __slots__ = ("_request", "_rules", "_to", "losses")

    def __init__(self, request: Request, to: Destination, rules: Rules) -> None:
        self._request = request
        self._to = to
        self._rules = rules
        self.losses: list[Loss] = []

    def write(self, value: Json) -> None:
        """Puts `thinking` and the effort into a body that has its bound and its choice of tools."""
        told = self._request.reasoning
        if told is None:
            return
        self.losses += lost_extras(told.extras, "messages", at=self._request.place("reasoning"))
        if told.mode is not None:
            thinking, effort = self._as_told(told)
        else:
            thinking, effort = self._from_effort(told, value)
        if thinking is not None:
            value["thinking"] = thinking
        if effort is not None:
            value.setdefault("output_config", {})["effort"] = effort
        self._show(told, thinking)

    def _as_told(self, told: ReasoningSettings) -> tuple[Json | None, str | None]:
        thinking: Json = {"type": told.mode}
        if told.mode == "enabled":
            # A server that does not need one gets none.
            if told.budget is not None:
                thinking["budget_tokens"] = told.budget
        elif told.budget is not None:
            self._lose("budget", "only thinking that is enabled has a budget")
        return thinking, told.effort

    def _from_effort(self, told: ReasoningSettings, value: Json) -> tuple[Json | None, str | None]:
        effort = told.effort
        if self._request.origin == "messages":
            return None, effort
        if effort is None and told.budget is None:
            return None, None
        if effort == "none":
            return {"type": "disabled"}, None
        choice = value.get("tool_choice")
        if isinstance(choice, dict) and choice["type"] in _FORCING:
            self._lose("effort", "a model that must call a tool does not think in the messages dialect")
            return None, None
        if effort is not None and self._adapts():
            return self._adaptive(effort)
        return self._enabled(told, value), None

    def _adapts(self) -> bool:
        reject = self._to.quirks.reject
        if "thinking.enabled" in reject:
            return True
        return self._rules.adaptive and "thinking.adaptive" not in reject

    def _adaptive(self, effort: str) -> tuple[Json | None, str | None]:
        known = nearest_effort(effort, EFFORTS)
        if known is None:
            self._lose("effort", f"the messages dialect knows no effort '{effort}'", kind="setting")
            return None, None
        if known != effort:
            self._lose("effort", f"the messages dialect knows no effort '{effort}'; it was sent as '{known}'")
        return {"type": "adaptive"}, known

    def _enabled(self, told: ReasoningSettings, value: Json) -> Json | None:
        bound = value["max_tokens"]
        room = ceil(bound / SHARE) if self._request.max_output_tokens else ROOM
        budget = told.budget
        if budget is None:
            budget = budget_of(told.effort or "", most=bound - room)
        if not budget or not LEAST_BUDGET <= budget < bound:
            reason = f"the bound of the output leaves no room for the {LEAST_BUDGET} tokens that thinking takes at least"
            self._lose("effort", reason)
            return None
        if self._resumes():
            reason = (
                "the thoughts before the last calls of tools did not come back, so that no more can follow"
            )
            self._lose("effort", reason)
            return None
        return {"type": "enabled", "budget_tokens": budget}

    def _resumes(self) -> bool:
        """Whether the conversation goes on behind calls whose thoughts are not there: thinking is refused then.

        Turns of the assistant in a row are one message: other dialects have thoughts and calls apart.
        """
        last: list[Part] = []
        for turn in reversed(self._request.turns):
            if turn.role == "assistant":
                last += turn.parts
            elif turn.role == "user" or (turn.role == "tool" and last):
                break
        calls = any(isinstance(part, ToolCall) for part in last)
        return calls and not any(
            isinstance(part, Reasoning) and part.returns_to(self._to.origin) for part in last
        )

    def _show(self, told: ReasoningSettings, thinking: Json | None) -> None:
        if told.summary is None:
            return
        display = _DISPLAYS.get(told.summary)
        if display is None:
            self._lose(
                "summary", f"the messages dialect knows no summary '{told.summary}'", kind="shown_thoughts"
            )
        elif thinking is not None and thinking["type"] != "disabled":
            thinking["display"] = display

    def _lose(self, setting: str, reason: str, *, kind: Kind = "effort") -> None:
        self.losses.append(Loss(self._request.place(f"reasoning.{setting}"), kind, reason))
