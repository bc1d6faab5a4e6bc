"""What checks are made of: expectations that say what they saw, and whole checks for the most usual kinds of rows.

    takes / refuses / values    a field of a request, by its value
    excludes                    a field that no value makes right
    shows                       what a whole answer looks like
    absent                      a route that must not be there

A refusal is a 400 in the error envelope whose `param` begins with the field, where the service names one at all. That
the field is what it is for is proven by a control: the same request without the field is answered. That the service
refuses it, and not a model that happens to be asked, is in the words: they do not speak of that model.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from ingot.conformance.record import Check, Failed, Skipped
from ingot.conformance.subject import ABSENT, GONE, NO_KEY, Subject
from ingot.conformance.wire import Answer, Json
from ingot.sse import DONE

Look = Callable[[Json], object]

SHOWN: Final = 160
PAUSES: Final = (0.02, 0.05, 0.1, 0.2, *[0.5] * 120)
"""Seconds between looks at what is still running: about a minute."""
MALFORMED: Final = frozenset({"invalid_value", "invalid_type", "missing_required_parameter"})
"""Codes of OpenAI that blame how a request is written: written otherwise, what it asks for would be there."""
_SAYS: Final = {"chat": "choices", "responses": "output", "messages": "content"}
"""What every answer of a surface has."""
_STREAM: Final = "text/event-stream"
_encode = msgspec.json.Encoder().encode


def shown(value: object) -> str:
    """A value as a verdict shows it."""
    text = value if isinstance(value, str) else _encode(value).decode()
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


# ---- expectations


def expect(holds: object, expected: str, seen: object) -> None:
    """Fails with these words where `holds` is false."""
    if not holds:
        raise Failed(expected, str(seen) if isinstance(seen, Answer) else shown(seen))


def equal(what: str, wanted: object, seen: object) -> None:
    """Fails where the two differ."""
    expect(wanted == seen, f"{what} {shown(wanted)}", seen)


def ok(answer: Answer, what: str = "") -> Json:
    """The object of a whole answer; fails unless it is a 200 with JSON in it."""
    expect(answer.status == 200, f"200{f' for {what}' if what else ''}", answer)
    expect(answer.value, f"a JSON object{f' for {what}' if what else ''}", answer)
    return answer.value


def refused(answer: Answer, what: str, *, param: str = "", status: int = 400) -> Json:
    """The error object of a refusal."""
    expect(answer.status == status, f"{status} for {what}", answer)
    error = answer.error
    expect(error.get("message"), f"an error with a message for {what}", answer)
    told = error.get("param")
    if param and told is not None:
        expect(str(told).startswith(param), f"an error for {what} that names {param}", f"param {shown(told)}")
    return error


def stream(answer: Answer) -> list[Json]:
    """The chunks of a stream that ended as it should."""
    expect(answer.status == 200, "200 for a stream", answer)
    equal("content-type", "text/event-stream", answer.content_type)
    expect(
        answer.events and answer.events[-1] == DONE,
        "data: [DONE] as the last event",
        answer.events[-1:] and answer.events[-1].decode("utf-8", "replace"),
    )
    broken = [chunk for chunk in answer.chunks if "error" in chunk or not chunk]
    expect(not broken, "chunks without an error", broken[:1])
    return answer.chunks


def choice_of(answer: Json) -> Json:
    """The first choice of a whole answer or of a chunk; an empty object where there is none."""
    choices = answer.get("choices")
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}


def message_of(answer: Json) -> Json:
    """The first choice's message."""
    found = choice_of(answer).get("message")
    return found if isinstance(found, dict) else {}


def deltas_of(chunks: Iterable[Json]) -> list[Json]:
    """What each chunk with a choice adds."""
    return [delta for chunk in chunks if isinstance(delta := choice_of(chunk).get("delta"), dict)]


def need(held: Any, what: str) -> Any:
    """What the tester has; skips where it is missing."""
    if held is None:
        raise Skipped(f"needs {what}")
    return held


# ---- whole checks


def named(fields: Mapping[str, Any]) -> str:
    """Fields as a verdict names them."""
    return ", ".join(
        f"no {name}" if value is GONE else f"{name} = {shown(value)}" for name, value in fields.items()
    )


def takes(*requests: Mapping[str, Any], surface: str = "chat", status: int = 200) -> Check:
    """Each request with these fields is answered."""

    async def check(subject: Subject) -> None:
        for fields in requests:
            answer = await subject.ask(fields, surface=surface)
            expect(answer.status == status, f"{status} for {named(fields)}", answer)
            said = _SAYS.get(surface)
            if said is not None and answer.content_type != _STREAM:
                expect(said in answer.value, f"an answer with '{said}' for {named(fields)}", answer)

    return check


def refuses(*requests: Mapping[str, Any], surface: str = "chat", param: str | None = None) -> Check:
    """Each request with these fields is refused; the error names `param`, else the first of the fields.

    Without that field it is answered; where `param` is none of the fields, that is the plain request.
    """

    async def check(subject: Subject) -> None:
        for fields in requests:
            await turned_down(subject, fields, surface=surface, param=param)

    return check


def excludes(*requests: Mapping[str, Any], surface: str = "chat") -> Check:
    """`refuses` for what the service does not have at all: the error must not ask for another form of it."""

    async def check(subject: Subject) -> None:
        for fields in requests:
            await turned_down(subject, fields, surface=surface, known=False)

    return check


async def turned_down(
    subject: Subject,
    fields: Mapping[str, Any],
    *,
    surface: str = "chat",
    param: str | None = None,
    known: bool = True,
) -> None:
    """`refuses` for one request, whose values only a running check knows, or `excludes` where it is not `known`."""
    field = next(iter(fields)) if param is None else param
    answer = await subject.ask(fields, surface=surface)
    error = refused(answer, named(fields), param=field)
    words = str(error["message"])
    of_a_model = field != "model" and (subject.model in words or "this model" in words.lower())
    expect(not of_a_model, f"{named(fields)} refused by the service, whatever the model", answer)
    malformed = not known and error.get("code") in MALFORMED
    expect(not malformed, f"{named(fields)} refused as not supported, in whatever form", answer)
    rest = {name: value for name, value in fields.items() if name != field} if field in fields else {}
    control = await subject.control(rest, surface=surface)
    without = f"{named(rest) or 'a plain request'}, so that {named(fields)} is refused for {field}"
    expect(control.status == 200, f"200 for {without}", control)


def values(field: str, right: Iterable[Any], wrong: Iterable[Any] = (), *, surface: str = "chat") -> Check:
    """These values of a field are taken, those are refused."""
    return both(
        takes(*({field: value} for value in right), surface=surface),
        refuses(*({field: value} for value in wrong), surface=surface),
    )


def both(*checks: Check) -> Check:
    """One check after the other."""

    async def check(subject: Subject) -> None:
        for each in checks:
            await each(subject)

    return check


def shows(
    expected: str, look: Look, fields: Mapping[str, Any] | None = None, *, surface: str = "chat"
) -> Check:
    """A whole answer of which `look` tells what is wrong, or nothing."""

    async def check(subject: Subject) -> None:
        seen = look(ok(await subject.ask(fields, surface=surface)))
        if seen is not None:
            raise Failed(expected, shown(seen))

    return check


def equals(
    path: str, wanted: object, fields: Mapping[str, Any] | None = None, *, surface: str = "chat"
) -> Check:
    """The value at a path of a whole answer, as `choices.0.finish_reason`; GONE where the path ends early."""

    def look(answer: Json) -> object:
        found = at(answer, path)
        return None if found == wanted else f"{path} = {shown(found)}"

    return shows(f"{path} = {shown(wanted)}", look, fields, surface=surface)


def at(value: Any, path: str) -> Any:
    """The value at a path; the words `not there` where it ends early."""
    for step in path.split("."):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return "not there"
    return value


def absent(method: str, *paths: str, body: object = None) -> Check:
    """Nothing answers there: 404, 405 or 501."""

    async def check(subject: Subject) -> None:
        for path in paths:
            answer = await subject.call(method, path, body)
            expect(answer.status in ABSENT, f"404, 405 or 501 for {method} {path}", answer)

    return check


def streams(surface: str = "chat") -> Check:
    """`stream: true` makes a stream that ends as it should."""

    async def check(subject: Subject) -> None:
        chunks = stream(await subject.ask({"stream": True}, surface=surface))
        expect(chunks, "chunks", chunks)
        equal("object", "chat.completion.chunk", chunks[0].get("object"))

    return check


def unauthorized(status: int = 401, code: str | None = None) -> Check:
    """Neither a request without a key nor one with a wrong key is answered, wherever it goes."""

    async def check(subject: Subject) -> None:
        for key, what in ((NO_KEY, "no key"), ("not-a-key", "a wrong key")):
            answer = await subject.ask(key=key)
            error = refused(answer, what, status=status)
            if code is not None:
                equal("error.code", code, error.get("code"))

    return check


def cannot(reason: str) -> Check:
    """Nothing that a request could find out."""

    async def check(_: Subject) -> None:
        raise Skipped(reason)

    return check
