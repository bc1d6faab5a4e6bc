"""docs/reference/translation.md: what passes between each pair of dialects, found by asking the codecs field by field.

A field's row is made from two requests, one with it and one without: where they differ at the target is where it went,
and the losses that only the first has are what was lost. Decides how the page looks. Knows no codec's rules.
"""

import json
from collections.abc import Iterator
from typing import Any

from ingot.canonical import matters
from ingot.canonical.losses import KINDS
from ingot.errors import Unsupported
from pairs.exchange import PAIRS, RELAYS, answer, dumped, send
from pairs.fields import BASES, FIELDS, WITHOUT
from pairs.told import TOLD
from pairs.words import Json

HEAD = """\
# Translation

<!-- Written by `python tests/reference.py` from the codecs and tests/pairs; edit those instead. -->

A target is asked in its own dialect. Where that is the client's, the client's bytes go out and the target's come back;
a response of `/v1/responses` gets our id, our model name and what its request says of our state, and nothing else. Where
it is not, the request, the answer and each event of a stream are translated, and what cannot be said there is a loss:

- It is told in the header `x-ingot-loss` (`path=reason; ...`) and in `losses` of `GET /v1/usage/requests`; the path is that
  of the field in the client's request, or in the target's answer.
- A request that would lose what may change its answer is refused with a 400 that names the field, unless the model says
  `on_loss = "warn"`: then all is told alone. [Mere hints](#losses-that-refuse-nothing) and losses of answers are only told.
- A model's thoughts go back only to where they came from. Signatures and encrypted thoughts are never made up, changed,
  or sent elsewhere. A client of `responses` that asks for `reasoning.encrypted_content` gets the seal of a target of
  `messages` inside of one of ours, for its organization alone; sent back or in a chain it is opened for that target.
- Where nothing is translated, thoughts of ours are held back as well: a reasoning item that a translated answer gave, and
  a block whose signature is empty, go to no target, and each is a loss. What a target of `responses` sealed itself passes as
  it came, to that target alone; it is known by a mark that is kept of it, and what has none goes to no target. Signatures of
  `messages` pass as they came. Items of a chain or of a conversation are known by their target.
- A default that had to be filled in is told and never refused: `messages` demands a bound of the output, and 32000 is sent
  where the client gave none; a switch for thinking without an effort leaves it to the target.
- `messages` is asked in its version 2023-06-01 unless the target's headers name a newer one: that takes no sampling
  settings, knows adaptive thinking, and takes instructions between turns.
- Which stop sequence was met is known where the target says so: vLLM's `stop_reason` of a choice, and the embedded
  engine, which is asked for it. OpenAI ends with a bare `stop` whether one was met or not, and so does a llama.cpp server of
  your own unless its target has the quirk `set = { verbose = true, response_fields = ["stopping_word"] }`: a client of
  `messages` gets `end_turn` then.

In the tables *carried* means that it arrives with its meaning, *changed* that it arrives as the nearest that can be said,
*lost* that it does not arrive, *a default* that the target's own stands for it, *refused* that such a request gets a 400,
*nothing to say* that the target does the same without it. The last column says what becomes of such a request
by default: a 400, or it passes and the loss is told. Streams lose what whole answers lose.
"""

HINTED = """
## Losses that refuse nothing

These change no answer, and are told under each `on_loss`. All others refuse the request unless the model says `"warn"`.

| what | why its loss changes no answer |
|---|---|
"""

ANSWERS = {
    "text": "text",
    "tools_parallel": "tool calls",
    "arguments": "arguments that are no JSON",
    "tools_custom": "calls of custom tools",
    "thinking": "thoughts and their seals",
    "summaries": "summaries of thoughts",
    "refusal": "a refusal",
    "citations": "citations, and items of hosted tools",
    "logprobs": "log probabilities",
    "cached_tokens": "counts of cached and written tokens, the tier, what else stands around an answer",
    "usage_unknown": "counts that cannot be believed",
    "end_length": "the end: the bound of the output",
    "end_context": "the end: the context is full",
    "end_stop_sequence": "the end: a stop sequence that the target names",
    "end_filter": "the end: a filter",
    "end_refusal": "the end: a refusal",
    "end_pause": "the end: a pause for the client to go on",
    "end_other": "the end: a word that is not known",
}


def page() -> str:
    """The page."""
    sections = [HEAD, HINTED, _rows(hints())]
    for client, target in PAIRS:
        if client == target:
            continue
        sections.append(f"\n## A client of `{client}`, a target of `{target}`\n\n")
        sections.append(
            "| the request's field | becomes | as | lost | by default |\n|---|---|---|---|---|\n"
            f"{_rows(request_rows(client, target))}"
        )
        sections.append(
            f"\n| in the answer | becomes | lost |\n|---|---|---|\n{_rows(answer_rows(client, target))}"
        )
    return "".join(sections)


def _rows(rows: Iterator[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def hints() -> Iterator[tuple[str, ...]]:
    """A row for each kind of what a client asks that changes no answer."""
    for kind, words in KINDS.items():
        if words.why is not None and kind not in {"default", "answer"}:
            yield words.what, words.why


# --- requests ---


def request_rows(client: str, target: str) -> Iterator[tuple[str, ...]]:
    """A row for each field of the client's dialect."""
    for label, body in FIELDS[client].items():
        name = label if " " in label else f"`{label}`"
        refusal = refused(body, client)
        if refusal is not None:
            yield name, "refused", "", refusal, "400"
            continue
        base = send(WITHOUT[client].get(label, BASES[client]), client, target)
        sent = send(body, client, target)
        known = {loss.reason for loss in base.losses}
        found = [loss for loss in sent.losses if loss.reason not in known]
        places = list(differences(_plain(json.loads(base.data)), _plain(json.loads(sent.data))))
        reasons = list(dict.fromkeys(loss.reason for loss in found))
        word = (
            "a default"
            if found and all(loss.kind == "default" for loss in found)
            else verdict(places, reasons)
        )
        fate = ("400" if any(matters(loss) for loss in found) else "told") if found else ""
        yield name, word, ", ".join(dict.fromkeys(places)), "; ".join(reasons), fate


def refused(body: Json, client: str) -> str | None:
    """Why such a request is refused where it would have to be translated."""
    check = RELAYS[client].check_translated
    if check is None:
        return None
    try:
        check(RELAYS[client].decode(dumped(body)), "demo")
    except Unsupported:
        return "only a target of this dialect can do it"
    return None


def verdict(places: list[str], reasons: list[str]) -> str:
    """One word for what became of a field."""
    if reasons:
        return "changed" if places else "lost"
    return "carried" if places else "nothing to say"


def differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """The places of a body that are new or otherwise, each with the types of what stands there."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, held in after.items():
            if name not in before:
                yield f"`{path}{name}`{_kinds(held)}"
            elif held != before[name]:
                yield from differences(before[name], held, f"{path}{name}.")
    elif isinstance(before, list) and isinstance(after, list):
        for index, held in enumerate(after):
            if index >= len(before) or held != before[index]:
                known = before[index] if index < len(before) else {}
                yield from differences(known, held, f"{path.rstrip('.')}[].")
    else:
        yield f"`{path.rstrip('.')}`{_kinds(after)}"


def _plain(value: Any) -> Any:
    """A body in which a list of one text is that text: both say the same."""
    if isinstance(value, dict):
        return {name: _plain(held) for name, held in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) == 1 and isinstance(value[0], dict) and value[0].keys() == {"type", "text"}:
        return value[0]["text"]
    return [_plain(each) for each in value]


def _kinds(held: Any) -> str:
    """The types of the objects in a list, or of one object."""
    each = held if isinstance(held, list) else [held]
    kinds = [one["type"] for one in each if isinstance(one, dict) and isinstance(one.get("type"), str)]
    return f" ({', '.join(dict.fromkeys(kinds))})" if kinds else ""


# --- answers ---


def answer_rows(client: str, target: str) -> Iterator[tuple[str, ...]]:
    """A row for each kind of answer that the target's dialect has."""
    sent = send(BASES[client], client, target)
    for feature, label in ANSWERS.items():
        told = TOLD[feature].get(target)
        if told is None:
            continue
        _, unsaid = answer(told, sent, client, target)
        reasons = [f"`{loss.path}`: {loss.reason}" for loss in unsaid]
        yield label, "in part" if reasons else "carried", "; ".join(reasons)
