"""What comes before a request in the words of earlier responses: the one place that says so.

    conversation            its items, in their order, whoever said them
    previous_response_id    the chain of responses behind it, oldest first: items in, items out of each; instructions are not
                            carried over
    item_reference          an item of those, or of whatever else the organization keeps: see `references`
    compaction              the summary that it seals, for the organization that it was made for
    before(...)             all of it, as the call that targets get

A response can be gone on from until it is deleted, expires, or was never kept; a chain is read link by link, so that what
is deleted is in no later request. What an answer leaves for the next request is its own record, written in the commit that
bills it: nothing is to be added there. Decides nothing about who may see what beyond the organization that every read is
bound to. Knows no target and no door.
"""

import base64
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection

from ingot.clock import Clock
from ingot.dialects import responses_state as state
from ingot.dialects.dialect import Call, Past
from ingot.dialects.item_checks import duplicate
from ingot.dialects.responses_calls import check_calls
from ingot.dialects.responses_compact import as_summary
from ingot.dialects.responses_items import kind_of
from ingot.dialects.responses_makers import FIELD, attributed, claimed, unclaimed
from ingot.errors import InvalidRequest, TooLarge
from ingot.rawjson import clip
from ingot.sealing import RandomBytes, seal, unseal
from ingot.services.apart import apart
from ingot.services.conversations import missing_conversation
from ingot.services.recent import Recent
from ingot.services.recording import Recorder
from ingot.services.references import Search, is_readable, items_in, items_out, too_much, unreadable
from ingot.store import conversations, marks
from ingot.store import responses as store
from ingot.store.database import Database
from ingot.store.responses import Exchange
from ingot.store.schema import micros

MOST_LINKS: Final = 1_000

Json = dict[str, Any]

_item: Final = msgspec.json.Decoder(Json)
_encode: Final = msgspec.json.Encoder().encode


class _Chain(NamedTuple):
    """The items of a chain, oldest first, and the bytes that it was read from."""

    past: list[Past]
    size: int


class History:
    """The earlier responses of one database, as requests go on from them."""

    def __init__(
        self,
        db: Database,
        recorder: Recorder,
        *,
        digest: Callable[[bytes], bytes],
        clock: Clock,
        random: RandomBytes = os.urandom,
    ) -> None:
        """`recorder` is where answers may still be on their way into the database; `digest` is the HMAC under the pepper."""
        self._db = db
        self._recorder = recorder
        self._digest = digest
        self._clock = clock
        self._random = random

    async def before(
        self,
        call: Call,
        org_id: str,
        *,
        most: int,
        recent: Recent | None = None,
        links: int | None = MOST_LINKS,
        paired: bool = True,
    ) -> Call:
        """The call with all that comes before it; raises InvalidRequest. `most` are bytes of what may come before.

        `recent` are responses that the store does not have. `links` are the most of a chain; None: bytes alone bound it.
        `paired`: a call of a client's tool needs its output, and an output its call, as a model is to answer.
        """
        if not state.needs_past(call):
            # A template may hold calls that only its target sees.
            if paired and call.body.value.get("prompt") is None:
                check_calls(state.as_items(call.body.value.get("input")))
            return await self._attributed(call, org_id)
        value = call.body.value
        previous = value.get("previous_response_id")
        conversation = state.conversation_of(value)
        asked = state.as_items(value.get("input"))
        if conversation is not None:
            source, chain = "conversation", await self._held(org_id, conversation, asked, most=most)
        elif previous is not None:
            source = "previous_response_id"
            chain = await self._chain(org_id, previous, most=most, recent=recent, links=links)
        else:
            source, chain = "", _Chain([], 0)
        before, own, size = await self._resolved(org_id, chain, asked, source=source, most=most)
        if paired:
            check_calls(each.item for each in (*before, *own))
        known = await self._claimed(org_id, [*before, *own])
        before, own = known[: len(before)], known[len(before) :]
        past = [Past(self._opened(each.item, org_id, source), each.maker) for each in before]
        fresh = [
            Past(self._opened(each.item, org_id, f"input[{index}]"), each.maker)
            for index, each in enumerate(own)
        ]
        return await apart(size, partial(state.continued, call, past, fresh))

    def mark(self, content: str, *, org_id: str) -> str:
        """The name under which the maker of sealed content is kept: nobody can tell the content by it."""
        return marks.named(self._digest(b"maker\0" + org_id.encode() + b"\0" + content.encode()))

    async def _attributed(self, call: Call, org_id: str) -> Call:
        """The call with the makers of what its client sends sealed."""
        value = call.body.value.get("input")
        if type(value) is not list or not any(FIELD in item for item in value):
            return call
        own = [Past(item) for item in value]
        known = await self._claimed(org_id, own)
        return call if known == own else attributed(call, known)

    async def _claimed(self, org_id: str, past: list[Past]) -> list[Past]:
        """The items with the makers of those that somebody sealed; what is not known is nobody's."""
        sealed = unclaimed(past)
        if not sealed:
            return past
        names = {content: self.mark(content, org_id=org_id) for content in sealed.values()}
        find = partial(marks.find_makers, org_id=org_id, names=list(names.values()))
        found = await self._db.read(find)
        if len(found) < len(names):
            # It may be on its way, as an answer is in a chain.
            await self._recorder.caught_up()
            found = await self._db.read(find)
        makers = {content: found[name] for content, name in names.items() if name in found}
        return claimed(past, sealed, makers)

    def seal(self, text: bytes, *, org_id: str, of: str = "compaction") -> str:
        """The content of an item of the type `of` as only requests of the organization have it read again."""
        sealed = seal(text, self._key(org_id, of), bound=org_id.encode(), random=self._random)
        return state.MARK + base64.urlsafe_b64encode(sealed).decode()

    def unseal(self, content: str, *, org_id: str, of: str = "compaction") -> bytes:
        """What was sealed; raises ValueError."""
        sealed = base64.b64decode(content.removeprefix(state.MARK).encode(), b"-_", validate=True)
        return unseal(sealed, self._key(org_id, of), bound=org_id.encode())

    def _opened(self, item: Json, org_id: str, where: str) -> Json:
        """The item, and what a compaction of ours says in place of it; one of a target's is passed on."""
        content = item.get("encrypted_content")
        if item.get("type") != "compaction" or type(content) is not str or not content.startswith(state.MARK):
            return item
        try:
            text = self.unseal(content, org_id=org_id).decode()
        except ValueError as error:
            raise InvalidRequest(
                f"The encrypted content of the compaction at '{where}' could not be verified: it was changed, or another "
                "organization's request made it.",
                param=where,
                code="invalid_encrypted_content",
            ) from error
        return as_summary(text)

    def _key(self, org_id: str, of: str) -> bytes:
        return self._digest(of.encode() + b"\0" + org_id.encode())

    async def _held(self, org_id: str, which: str, own: Sequence[Json], *, most: int) -> _Chain:
        """The items of a conversation; of its last answer, too, where that is still on its way into the database."""
        await self._recorder.caught_up()
        chain = await self._db.read(partial(_read_conversation, org_id=org_id, which=which, most=most))
        known = {each.item.get("id") for each in chain.past}
        for index, item in enumerate(own):
            where = f"input[{index}]"
            if item.get("id") in known and kind_of(item, where) != "item_reference":
                raise duplicate(str(item["id"]), f"{where}.id")
        return chain

    async def _chain(
        self, org_id: str, previous: str, *, most: int, recent: Recent | None, links: int | None
    ) -> _Chain:
        read = partial(
            _read_chain, org_id=org_id, previous=previous, most=most, recent=recent, most_links=links
        )
        try:
            return await self._db.read(partial(read, now=micros(self._clock.now())))
        except InvalidRequest:
            # It may be on its way: answers are given before they are written where the operator wants that.
            await self._recorder.caught_up()
            return await self._db.read(partial(read, now=micros(self._clock.now())))

    async def _resolved(
        self, org_id: str, chain: _Chain, own: Sequence[Json], *, source: str, most: int
    ) -> tuple[list[Past], list[Past], int]:
        """The items of a chain and those of the request itself, each reference replaced by what it refers to; their bytes."""
        behind = len(chain.past)
        items = [*chain.past, *map(Past, own)]
        wheres = [source] * behind + [f"input[{index}]" for index in range(len(own))]
        references = {
            index: where
            for index, (each, where) in enumerate(zip(items, wheres, strict=True))
            if _refers(each, where)
        }
        names = [str(items[index].item["id"]) for index in references]
        wanted = set(names)
        known = {
            str(each.item["id"]): each
            for index, each in enumerate(chain.past)
            if index not in references and _name_of(each) in wanted
        }
        known |= await self._find(org_id, [name for name in names if name not in known], most=most)
        weights = {name: len(_encode(found.item)) for name, found in known.items()}
        size = chain.size
        for (index, where), name in zip(references.items(), names, strict=True):
            if name not in known:
                raise _no_item(name, where)
            size += weights[name]
            if size > most:
                raise too_much(most)
            items[index] = known[name]
        return items[:behind], items[behind:], size

    async def _find(self, org_id: str, ids: Sequence[str], *, most: int) -> dict[str, Past]:
        """What there is of these items in the store, by their ids."""
        if not ids:
            return {}
        wanted = list(dict.fromkeys(ids))
        search = partial(_search, org_id=org_id, ids=wanted, most=most)
        found = await self._db.read(partial(search, now=micros(self._clock.now())))
        if len(found) == len(wanted):
            return found
        # What is missing may be on its way, as an answer is in a chain.
        await self._recorder.caught_up()
        return await self._db.read(partial(search, now=micros(self._clock.now())))


def read_chain(conn: Connection, org_id: str, last: Exchange, *, now: int) -> list[Exchange]:
    """A response and those behind it, oldest first, as far back as they can be read."""
    links = [last]
    while len(links) < MOST_LINKS:
        previous = state.previous_of(links[-1].request or b"{}")
        found = None if previous is None else store.read_exchange(conn, org_id, previous)
        if found is None or not is_readable(found, now=now):
            break
        links.append(found)
    return links[::-1]


def items_before(conn: Connection, org_id: str, last: Exchange, *, now: int) -> list[Json]:
    """The items that a response was asked with, those of the chain behind it before its own, each with its id."""
    links = read_chain(conn, org_id, last, now=now)
    items: list[Json] = []
    for link in links[:-1]:
        items += items_in(link)
        items += items_out(link)
    return items + items_in(links[-1])


def _read_chain(
    conn: Connection,
    *,
    org_id: str,
    previous: str,
    most: int,
    now: int,
    recent: Recent | None,
    most_links: int | None,
) -> _Chain:
    links: list[Exchange] = []
    wanted: str | None = previous
    size = 0
    while wanted is not None:
        found = recent.get(wanted) if recent is not None else None
        found = found or store.read_exchange(conn, org_id, wanted)
        if found is None or found.request is None or not is_readable(found, now=now):
            raise _not_found(previous, wanted)
        status = state.status_of(found.answer or b"")
        if status not in state.GOES_ON:
            raise InvalidRequest(
                f"The response '{clip(wanted)}' has the status '{status}', and only one that is whole can be gone on from.",
                param="previous_response_id",
            )
        links.append(found)
        size += len(found.request) + len(found.answer or b"")
        if size > most:
            raise TooLarge(
                f"The responses behind '{clip(previous)}' are too large: at most {most:,} bytes together are read. Begin anew "
                "with a summary of them, or compact an earlier response of the chain.",
                param="previous_response_id",
            )
        if most_links is not None and len(links) > most_links:
            raise TooLarge(
                f"The responses behind '{clip(previous)}' are too many: at most {most_links:,} are gone on from. Send the same "
                "'previous_response_id' to /v1/responses/compact, which reads longer chains, and go on from its output.",
                param="previous_response_id",
            )
        wanted = state.previous_of(found.request)
    return _Chain([each for link in reversed(links) for each in _past(link)], size)


def _read_conversation(conn: Connection, *, org_id: str, which: str, most: int) -> _Chain:
    if conversations.find_conversation(conn, org_id, which) is None:
        raise missing_conversation(which, param="conversation")
    size = conversations.weigh(conn, which)
    if size > most:
        raise TooLarge(
            f"The conversation '{clip(which)}' has grown too large: at most {most:,} bytes of items are gone on from. Begin "
            "another with a summary of it, or delete items.",
            param="conversation",
        )
    kept = conversations.read_items(conn, which)
    return _Chain([Past(_item.decode(each.item), each.maker) for each in kept], size)


def _search(conn: Connection, *, org_id: str, ids: Sequence[str], most: int, now: int) -> dict[str, Past]:
    search = Search(conn, org_id, now=now, most=most)
    search.look_for(ids)
    return search.found


def _name_of(past: Past) -> str | None:
    """Its id, where it has one; a target may answer anything."""
    name = past.item.get("id")
    return name if type(name) is str else None


def _refers(past: Past, where: str) -> bool:
    """Whether it is a reference of a client's; what a target gave is none."""
    return past.maker is None and kind_of(past.item, where) == "item_reference"


def _past(link: Exchange) -> list[Past]:
    """What a link says, as the next request has it before it."""
    try:
        asked = [Past(item) for item in state.sent(link.request or b"{}")]
        return asked + [Past(item, link.target) for item in state.items_out(link.answer or b"")]
    except ValueError as error:
        raise unreadable() from error


def _not_found(previous: str, missing: str) -> InvalidRequest:
    more = "" if missing == previous else f" It goes on from '{clip(missing)}', which is not stored any more."
    return InvalidRequest(
        f"Previous response with id '{clip(previous)}' not found.{more}",
        param="previous_response_id",
        code="previous_response_not_found",
    )


def _no_item(name: str, where: str) -> InvalidRequest:
    return InvalidRequest(
        f"Item with id '{clip(name)}' not found. Send the item itself, or go on from its response with "
        "'previous_response_id'.",
        param=where,
        code="item_not_found",
    )
