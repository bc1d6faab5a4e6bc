"""Where the systems disagree, or one with itself: each preset follows its own. Rows X1 to X20."""

from typing import Final

from ingot.conformance.examples import CALLS, FUNCTION, REFERENCE, says
from ingot.conformance.record import ALL, Check, Row, Skipped
from ingot.conformance.rows import aurora, batches, messages, metask, responses
from ingot.conformance.rows.aurora import begins_with
from ingot.conformance.rows.metask import created
from ingot.conformance.rows.reference import VALAR
from ingot.conformance.rows.valley import invalid_key
from ingot.conformance.subject import Subject
from ingot.conformance.trying import (
    both,
    equals,
    excludes,
    expect,
    message_of,
    ok,
    refuses,
    shows,
    streams,
    takes,
    turned_down,
    unauthorized,
    values,
)
from ingot.conformance.wire import Json

CUT: Final[Json] = {"messages": says("words: 50"), "max_tokens": 3}
CUT_VALAR: Final[Json] = {"messages": says("words: 50"), "max_completion_tokens": 3}
SEVERAL: Final = (
    "stop",
    "logprobs",
    "top_logprobs",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "n",
)
STREAMING: Final = ("open", "valley", "aurora-v2", "metask", VALAR)


def unknown_model(name: str) -> Check:
    """A model of the other system of that name."""

    async def check(subject: Subject) -> None:
        answer = await subject.ask({"model": name})
        expect(answer.status in {400, 404}, f"400 or 404 for {name}", answer)

    return check


async def lists_models(subject: Subject) -> None:
    """Clients need ids."""
    await metask.usable_ids(subject)


async def echoed_parallel(subject: Subject) -> None:
    """Refused in a request, and there in the answer all the same."""
    await turned_down(subject, {"parallel_tool_calls": True}, surface="responses", known=False)
    made = ok(await subject.ask(surface="responses"))
    expect(
        isinstance(made.get("parallel_tool_calls"), bool), "parallel_tool_calls in the answer", sorted(made)
    )


async def stored_or_not(subject: Subject) -> None:
    """Any value is taken; what was asked to be stored can be read, what was not cannot."""
    for value, there in ((True, True), (False, False), (None, False)):
        made = ok(await subject.ask({"store": value}), f"store = {value}").get("id")
        if await subject.offers("stored"):
            found = (await subject.call("GET", f"/chat/completions/{made}")).status == 200
            expect(
                found is there, f"store = {value}: {'stored' if there else 'not stored'}", f"found: {found}"
            )


def role_and_reason(answer: Json) -> object:
    """What the sample lacks and clients need."""
    seen = {
        "role": message_of(answer).get("role"),
        "finish_reason": answer["choices"][0].get("finish_reason"),
    }
    return None if all(seen.values()) else seen


async def status_words(subject: Subject) -> None:
    """Those that clients know."""
    made = await responses.begun(subject)
    words = {"queued", "in_progress"}
    expect(made.get("status") in words, "queued or in_progress while it runs", made.get("status"))


async def system_by_role(subject: Subject) -> None:
    """And by nothing else."""
    ok(await subject.ask({"messages": [{"role": "system", "content": "Be brief."}, *says("Hello.")]}))
    for surface, field in (("messages", "system"), ("responses", "instructions")):
        if await subject.offers(surface):
            await turned_down(subject, {field: "Be brief."}, surface=surface, known=False)


async def logprobs_of_both(subject: Subject) -> None:
    """Null in chat, and to be had in responses."""
    await equals("choices.0.logprobs", None)(subject)
    if not await subject.offers("responses"):
        raise Skipped("the server has no surface `responses`")
    ok(await subject.ask({"include": [responses.LOGPROBS]}, surface="responses"))


BY_ROLE: Final = takes({"messages": [{"role": "system", "content": "Be brief."}, *says("Hello.")]})
ANY_ID: Final = shows("an id", lambda answer: None if answer.get("id") else "no id")

ROWS: Final[tuple[Row, ...]] = (
    Row("X1", "max_tokens is taken as it is, has a default of 1024, or is refused.", {
        "open": takes({"max_tokens": 8}), "valley": takes({"max_tokens": 8}), "aurora": aurora.bounded, "aurora-v2": aurora.bounded,
        "metask": metask.own_limit, VALAR: excludes({"max_tokens": 8}),
    }),
    Row("X2", "Chat streams, but for Aurora's first version.", {**dict.fromkeys(STREAMING, streams()), "aurora": refuses({"stream": True})}),
    Row("X3", "stop, logprobs, seed, penalties and n above 1 are supported or refused.", {
        **dict.fromkeys(("open", "valley"), takes(*(REFERENCE[name] for name in SEVERAL))),
        VALAR: excludes(*({name: REFERENCE[name][name]} for name in SEVERAL)),
    }),
    Row("X4", "Ids begin with cmpl_, with chatcmpl-, or as the server likes.", {
        **dict.fromkeys(("aurora", "aurora-v2"), shows("an id that begins with cmpl_", begins_with("cmpl_"))),
        **dict.fromkeys(("valley", "metask"), shows("an id that begins with chatcmpl-", begins_with("chatcmpl-"))),
        **dict.fromkeys(("open", VALAR), ANY_ID),
    }),
    Row("X5", "created is there, also where a sample lacks it.", dict.fromkeys(ALL, shows("unix seconds", created))),
    Row("X6", "A cut answer says length, but stop where only stop and tool_calls are known.", {
        **dict.fromkeys(("open", "valley"), equals("choices.0.finish_reason", "length", CUT)),
        VALAR: equals("choices.0.finish_reason", "stop", CUT_VALAR),
    }),
    Row("X7", "A 401 has the code invalid_api_key or unauthorized.", {
        "valley": invalid_key, **dict.fromkeys(("aurora", "aurora-v2"), unauthorized(code="unauthorized")),
    }),
    Row("X8", "Responses refuse parallel_tool_calls and yet carry it.", {VALAR: echoed_parallel}, ("responses",)),
    Row("X9", "Unsupported means refused, but for tools on messages, which are ignored.", {VALAR: both(messages.tools_ignored, messages.rejects({"top_k": 5}))}, ("messages",)),
    Row("X10", "Models are listed everywhere, as clients need their ids.", dict.fromkeys(ALL, lists_models)),
    Row("X11", "Fields that the reference leaves out and the support page allows are accepted.", {
        VALAR: both(takes({"tools": [FUNCTION], "tool_choice": "auto", "parallel_tool_calls": True}, {"service_tier": "auto"}), equals("choices.0.finish_reason", "tool_calls", CALLS)),
    }),
    Row("X12", "The system prompt is a field of its own, or a role alone.", {
        **dict.fromkeys(("aurora", "aurora-v2"), aurora.system_text), **dict.fromkeys(("open", "valley", "metask"), BY_ROLE), VALAR: system_by_role,
    }),
    Row("X13", "The two MeTals do not know each other's models.", {
        "valley": unknown_model("aurora"), **dict.fromkeys(("aurora", "aurora-v2"), unknown_model("valley-fast-1")),
    }),
    Row("X14", "Logprobs are null in chat, and to be had in responses.", {VALAR: logprobs_of_both}, ("responses",)),
    Row("X15", "store is true alone, or any value and false unasked.", {"valley": stored_or_not, VALAR: values("store", [True, None], [False])}),
    Row("X16", "A message has its role and a choice its finish_reason, although the sample lacks both.", {VALAR: shows("role and finish_reason", role_and_reason)}),
    Row("X17", "Values of include that no list names are accepted.", {VALAR: responses.accepts({"include": ["something.new"]})}, ("responses",)),
    Row("X18", "Batches are there, stable or not.", {VALAR: batches.polled}, ("batches",)),
    Row("X19", "A response that runs is queued or in progress, as clients know it.", {VALAR: status_words}, ("responses",)),
    Row("X20", "stop_reason is always end_turn.", {VALAR: equals("stop_reason", "end_turn", surface="messages")}, ("messages",)),
)  # fmt: skip
