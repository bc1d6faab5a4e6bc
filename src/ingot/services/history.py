"""What comes before a request in the words of earlier responses: the one place that says so.

    conversation            its items, in their order, whoever said them
    previous_response_id    the chain of responses behind it, oldest first: items in, items out of each; instructions are not
                            carried over
    item_reference          an item of those, or of any response that its id tells of
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
from ingot.dialects.responses import RESPONSES
from ingot.dialects.responses_compact import MARK, as_summary
from ingot.dialects.responses_items import kind_of
from ingot.errors import InvalidRequest, PlatformError, TooLarge
from ingot.rawjson import clip
from ingot.sealing import RandomBytes, seal, unseal
from ingot.services.apart import apart
from ingot.services.conversations import missing_conversation
from ingot.services.recent import Recent
from ingot.services.recording import Recorder
from ingot.store import conversations
from ingot.store import responses as store
from ingot.store.database import Database
from ingot.store.responses import Exchange
from ingot.store.schema import micros

MOST_LINKS: Final = 1_000

Json = dict[str, Any]

_item: Final = msgspec.json.Decoder(Json)


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
    ) -> Call:
        """The call with all that comes before it; raises InvalidRequest. `most` are bytes of what may come before.

        `recent` are responses that the store does not have. `links` are the most of a chain; None: bytes alone bound it.
        """
        if not state.needs_past(call):
            return call
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
        own = await self._resolved(org_id, asked, chain.past)
        past = [Past(self._opened(each.item, org_id, source), each.maker) for each in chain.past]
        fresh = [self._opened(item, org_id, f"input[{index}]") for index, item in enumerate(own)]
        return await apart(chain.size, partial(state.continued, call, past, fresh))

    def seal(self, text: bytes, *, org_id: str) -> str:
        """A summary as only requests of the organization have it read again."""
        sealed = seal(text, self._key(org_id), bound=org_id.encode(), random=self._random)
        return MARK + base64.urlsafe_b64encode(sealed).decode()

    def _opened(self, item: Json, org_id: str, where: str) -> Json:
        """The item, and what a compaction of ours says in place of it; one of a target's is passed on."""
        content = item.get("encrypted_content")
        if item.get("type") != "compaction" or type(content) is not str or not content.startswith(MARK):
            return item
        try:
            sealed = base64.b64decode(content.removeprefix(MARK).encode(), b"-_", validate=True)
            text = unseal(sealed, self._key(org_id), bound=org_id.encode()).decode()
        except ValueError as error:
            raise InvalidRequest(
                f"The encrypted content of the compaction at '{where}' could not be verified: it was changed, or another "
                "organization's request made it.",
                param=where,
                code="invalid_encrypted_content",
            ) from error
        return as_summary(text)

    def _key(self, org_id: str) -> bytes:
        return self._digest(b"compaction\0" + org_id.encode())

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

    async def _resolved(self, org_id: str, items: Sequence[Json], past: Sequence[Past]) -> list[Json]:
        """The items of the request itself, each reference replaced by what it refers to."""
        known = {each.item.get("id"): each.item for each in past}
        resolved = []
        for index, item in enumerate(items):
            where = f"input[{index}]"
            if kind_of(item, where) != "item_reference":
                resolved.append(item)
                continue
            found = known.get(item["id"]) or await self._find_item(org_id, item["id"])
            if found is None:
                raise InvalidRequest(
                    f"Item with id '{clip(item['id'])}' not found. Send the item itself, or go on from its response with "
                    "'previous_response_id'.",
                    param=where,
                    code="item_not_found",
                )
            resolved.append(found)
        return resolved

    async def _find_item(self, org_id: str, item_id: str) -> Json | None:
        holder = state.holder_of(item_id)
        if holder is None:
            return None
        now = micros(self._clock.now())
        found = await self._db.read(partial(store.read_exchange, org_id=org_id, response_id=holder))
        if found is None or not is_readable(found, now=now):
            return None
        items = [*_items_in(found), *_items_out(found)]
        return next((item for item in items if item.get("id") == item_id), None)


def is_readable(found: Exchange, *, now: int) -> bool:
    """Whether a stored row is a response that can be read: kept, and neither expired nor deleted."""
    head = found.head
    fresh = head.expires_at is not None and head.expires_at > now
    return head.surface == RESPONSES.name and head.kept and fresh and found.answer is not None


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
        items += _items_in(link)
        items += _items_out(link)
    return items + _items_in(links[-1])


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


def _past(link: Exchange) -> list[Past]:
    """What a link says, as the next request has it before it."""
    try:
        asked = [Past(item) for item in state.sent(link.request or b"{}")]
        return asked + [Past(item, link.target) for item in state.items_out(link.answer or b"")]
    except ValueError as error:
        raise _unreadable() from error


def _items_in(link: Exchange) -> list[Json]:
    try:
        return state.items_in(link.request or b"{}", link.head.id)
    except ValueError as error:
        raise _unreadable() from error


def _items_out(link: Exchange) -> list[Json]:
    try:
        return state.items_out(link.answer or b"")
    except ValueError as error:
        raise _unreadable() from error


def _not_found(previous: str, missing: str) -> InvalidRequest:
    more = "" if missing == previous else f" It goes on from '{clip(missing)}', which is not stored any more."
    return InvalidRequest(
        f"Previous response with id '{clip(previous)}' not found.{more}",
        param="previous_response_id",
        code="previous_response_not_found",
    )


def _unreadable() -> PlatformError:
    return PlatformError("What was stored cannot be read.")
