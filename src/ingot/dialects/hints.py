"""Which losses change no answer: the one table of them. All others are reasons to refuse a request.

A row names places in the client's request, or what is said of a loss, or both; the first that fits decides, and its `why`
stands on the reference page. Decides nothing about what is lost, nor about what becomes of a loss.
"""

import re
from dataclasses import dataclass
from typing import Final

from ingot.canonical import Loss

_INDEX: Final = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class Hint:
    """A kind of loss that changes no answer, in words for the page, and why it changes none.

    `place` and `reason` are patterns of whole texts, places without their numbers; none fits all.
    """

    what: str
    why: str
    place: re.Pattern[str] | None = None
    reason: re.Pattern[str] | None = None

    def fits(self, loss: Loss) -> bool:
        """Whether the loss is of this kind."""
        if self.place is not None and not self.place.fullmatch(_INDEX.sub("", loss.path)):
            return False
        return self.reason is None or self.reason.fullmatch(loss.reason) is not None


def _names(*names: str) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, names)))


_THOUGHTS: Final = re.compile(
    "a model's thoughts go back only to where they came from"
    "|thoughts without a signature are not its model's own.*"
    "|thoughts of which nobody knows whose they are.*"
    "|its (seal|seal and summary|summary|text): .*"
)

HINTS: Final = (
    Hint(
        "`prompt_cache_key`, `prompt_cache_retention`, `prompt_cache_options`",
        "A cache saves time and money; the answer is the same.",
        place=_names("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"),
    ),
    Hint(
        "`cache_control`, `prompt_cache_breakpoint`",
        "The same.",
        reason=re.compile("the cache breakpoint: .*|a cache breakpoint of the messages dialect lives .*"),
    ),
    Hint(
        "`cache_control` in other dialects' requests, as gateways take it",
        "The same.",
        place=re.compile(r"(.+\.)?cache_control(\..+)?"),
    ),
    Hint(
        "`annotations` of an earlier answer",
        "They name the sources of what was said, and not what is asked.",
        place=_names("messages.annotations"),
    ),
    Hint(
        "`client_metadata`",
        "It tells who asks, as `user` does.",
        place=_names("client_metadata"),
    ),
    Hint(
        "`user`, `safety_identifier`, `metadata`",
        "They tell who asks and what for, to whoever runs the target; Ingot keeps its own record.",
        place=re.compile(r"user|safety_identifier|metadata(\..+)?"),
    ),
    Hint(
        "`service_tier`, `speed`",
        "How soon a target answers, and for how much; windows of Ingot hold all the same.",
        place=_names("service_tier", "speed"),
    ),
    Hint(
        "`prediction`",
        "It makes an answer faster, never another.",
        place=_names("prediction"),
    ),
    Hint(
        "`diagnostics`",
        "It asks what a cache did.",
        place=_names("diagnostics"),
    ),
    Hint(
        "`include` of what hosted tools give",
        "Hosted tools are refused by themselves, so that there is nothing to include; thoughts stay with their model.",
        place=_names("include"),
        reason=re.compile("only the responses dialect knows it"),
    ),
    Hint(
        "`stream_options.*`",
        "How a stream is cut into events; the answer is the same.",
        place=re.compile(r"stream_options\..+"),
    ),
    Hint(
        "`eager_input_streaming` and `defer_loading` of a tool",
        "When its pieces come, and when it is shown to the model: here it is shown from the start.",
        place=re.compile(r"tools\.(function\.)?(eager_input_streaming|defer_loading)"),
    ),
    Hint(
        "`context_management` of messages",
        "It makes room by leaving out what is old; the target gets all of it.",
        place=_names("context_management"),
    ),
    Hint(
        "headers such as `anthropic-beta`",
        "What they switch on has fields of its own, and each of those is carried, told or refused by itself.",
        reason=re.compile("the target speaks another dialect, which does not know it"),
    ),
    Hint(
        "thoughts of another model, seals and summaries",
        "They are no other model's to read; the answers that came of them are there.",
        reason=_THOUGHTS,
    ),
    Hint(
        "`reasoning.summary`, `reasoning.generate_summary`, `reasoning.context`, `thinking.display`",
        "What is shown of thoughts, not what comes of them.",
        place=_names(
            "reasoning.summary", "reasoning.generate_summary", "reasoning.context", "thinking.display"
        ),
    ),
    Hint(
        "a budget or an effort that the target has not",
        "How much a model thinks is a wish: the nearest is sent, or it thinks as it does by default.",
        reason=re.compile(
            ".* it was sent as .*"
            "|only thinking that is enabled has a budget"
            "|a model that must call a tool does not think in the messages dialect"
            "|the bound of the output leaves no room for .*"
            "|the thoughts before the last calls of tools did not come back, so that no more can follow"
        ),
        place=re.compile(
            r"reasoning_effort|reasoning\.effort|thinking(\.budget_tokens)?|output_config\.effort"
        ),
    ),
    Hint(
        "`is_error` of a tool's result",
        "The result itself arrives, and says what went wrong.",
        reason=re.compile("the .* dialect cannot say that a tool failed"),
    ),
    Hint(
        "instructions later than at the start",
        "All their words arrive where they stood, as the user's.",
        reason=re.compile("the target takes instructions at the start only: .*"),
    ),
    Hint(
        "what an earlier answer was: a refusal, its order, its sources, arguments that are no JSON",
        "All its words arrive.",
        reason=re.compile(
            "that it is a refusal: .*"
            "|its place behind a tool call: .*"
            "|its citations: .*"
            "|a citation of another dialect: .*"
            "|its arguments are no JSON object: .*"
        ),
    ),
    Hint(
        "images and documents of a tool's result that are shown behind it",
        "The target sees them, in the turn behind the result.",
        reason=re.compile("its place in the result of a tool: .*"),
    ),
    Hint(
        "`phase`, `caller` and `reasoning_details` of earlier answers",
        "They echo how an answer was told, and hold nothing of it.",
        place=re.compile(r".+\.(phase|caller|reasoning_details)"),
    ),
    Hint(
        "`filename` beside a title",
        "The document has a name.",
        place=re.compile(r".+\.filename"),
        reason=re.compile("the messages dialect has one place for it and for the title"),
    ),
)


def hint_of(loss: Loss) -> Hint | None:
    """The row that says why a loss changes no answer; None where it may change one."""
    return next((hint for hint in HINTS if hint.fits(loss)), None)


def matters(loss: Loss) -> bool:
    """Whether the loss takes away what the client asked for, and may change the answer."""
    return not loss.filled and hint_of(loss) is None
