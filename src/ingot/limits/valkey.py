"""The counts in Valkey or Redis: one script decides over all claims of a request, others settle, give back, renew, and
count nodes.

    ingot:limits:{TAG}:PARTITION          "requests tokens at": the levels, and the microsecond they were right at
    ingot:limits:{TAG}:PARTITION:leases   what runs, by when its lease ends unless it is renewed
    ingot:limits:nodes                    the processes, by when they were last heard of

TAG is the first claim's partition: in a cluster all keys of a request share a slot. The scripts know no policy:
`gcra` says up to which level something passes and what it costs, they drain, compare and add, by the server's
clock. All numbers stay below 2**53, exact in Lua's doubles. State goes when it equals an empty bucket.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError

from ingot.clock import Clock
from ingot.ids import NewId
from ingot.limits.gcra import CEILING, SECOND, change, costs, rate, terms
from ingot.limits.lane import (
    ALIVE_SECONDS,
    Answer,
    Beat,
    Command,
    GiveBack,
    Lane,
    Reserve,
    Settle,
    in_time,
)
from ingot.limits.memory import MemoryLimiter
from ingot.limits.places import LEASE_SECONDS, Renew
from ingot.limits.shared import SharedLimiter
from ingot.logs import Log

BUDGET = 0.03
PATIENCE = 2.0

# The first argument is a time for tests, or -1.
_COMMON = """
local now = tonumber(ARGV[1])
local keep = 3600000
if now < 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
  keep = 1000
end
local function load(key, request_rate, token_rate)
  local state = redis.call('GET', key)
  if not state then return 0, 0 end
  local requests, tokens, at = string.match(state, '^(%d+) (%d+) (%d+)$')
  local elapsed = math.max(now - at, 0)
  return math.max(requests - elapsed * request_rate, 0), math.max(tokens - elapsed * token_rate, 0)
end
local function save(key, requests, tokens, request_rate, token_rate)
  if requests == 0 and tokens == 0 then
    redis.call('DEL', key)
    return
  end
  local full = math.max(requests / request_rate, tokens / token_rate)
  redis.call('SET', key, string.format('%.0f %.0f %.0f', requests, tokens, now),
    'PX', string.format('%.0f', math.ceil(full / 1000) + keep))
end
local function keep_leases(key, lease)
  local span = math.ceil(lease / 1000) + keep
  if redis.call('PTTL', key) < span then redis.call('PEXPIRE', key, string.format('%.0f', span)) end
end
"""

# ARGV: time, lease, how long, then for each claim: request rate, most, cost, token rate, most, cost, places (-1: any)
_RESERVE = (
    _COMMON
    + """
local pass, claims, answer = 1, {}, {1, now}
for i = 1, #KEYS / 2 do
  local a, c = 3 + (i - 1) * 7, {}
  for j = 1, 7 do c[j] = tonumber(ARGV[a + j]) end
  c.requests, c.tokens = load(KEYS[2 * i - 1], c[1], c[4])
  c.running = 0
  if c[7] >= 0 then
    local leases = KEYS[2 * i]
    redis.call('ZREMRANGEBYSCORE', leases, '-inf', string.format('%.0f', now))
    c.running = redis.call('ZCARD', leases)
  end
  if c.requests > c[2] or c.tokens > c[5] or (c[7] >= 0 and c.running >= c[7]) then pass = 0 end
  claims[i] = c
end
answer[1] = pass
for i, c in ipairs(claims) do
  if pass == 1 then
    c.requests, c.tokens = c.requests + c[3], c.tokens + c[6]
    save(KEYS[2 * i - 1], c.requests, c.tokens, c[1], c[4])
    if c[7] >= 0 then
      redis.call('ZADD', KEYS[2 * i], string.format('%.0f', now + ARGV[3]), ARGV[2])
      keep_leases(KEYS[2 * i], ARGV[3])
      c.running = c.running + 1
    end
  end
  answer[3 * i], answer[3 * i + 1], answer[3 * i + 2] = c.requests, c.tokens, c.running
end
return answer
"""
)

# ARGV: time, lease, then for each claim: request rate, token rate, by how much its level of tokens moves
_SETTLE = (
    _COMMON
    + f"""
for i = 1, #KEYS / 2 do
  local a = 2 + (i - 1) * 3
  local request_rate, token_rate, change = tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])
  if change ~= 0 then
    local requests, tokens = load(KEYS[2 * i - 1], request_rate, token_rate)
    tokens = math.min(math.max(tokens + change, 0), {CEILING})
    save(KEYS[2 * i - 1], requests, tokens, request_rate, token_rate)
  end
  redis.call('ZREM', KEYS[2 * i], ARGV[2])
end
return {{}}
"""
)

# ARGV: time, lease, when it was charged, then for each claim: request rate, cost, token rate, cost
_GIVE_BACK = (
    _COMMON
    + """
local elapsed = math.max(now - ARGV[3], 0)
for i = 1, #KEYS / 2 do
  local a, c = 3 + (i - 1) * 4, {}
  for j = 1, 4 do c[j] = tonumber(ARGV[a + j]) end
  local requests, tokens = load(KEYS[2 * i - 1], c[1], c[3])
  requests = math.max(requests - math.max(c[2] - elapsed * c[1], 0), 0)
  tokens = math.max(tokens - math.max(c[4] - elapsed * c[3], 0), 0)
  save(KEYS[2 * i - 1], requests, tokens, c[1], c[3])
  redis.call('ZREM', KEYS[2 * i], ARGV[2])
end
return {}
"""
)

# ARGV: time, how long, then the leases
_RENEW = (
    _COMMON
    + """
local last = string.format('%.0f', now + ARGV[2])
for i = 3, #ARGV do redis.call('ZADD', KEYS[1], last, ARGV[i]) end
keep_leases(KEYS[1], ARGV[2])
return {}
"""
)

# ARGV: time, node, how long a node counts as alive
_BEAT = (
    _COMMON
    + """
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - ARGV[3]))
return {redis.call('ZCARD', KEYS[1])}
"""
)

_NODES = "ingot:limits:nodes"

Words = tuple[str | int, ...]


class _Script:
    """A script and the name that the server knows it by."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.name = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


_SCRIPTS: dict[type[Command], _Script] = {
    Reserve: _Script(_RESERVE),
    Settle: _Script(_SETTLE),
    GiveBack: _Script(_GIVE_BACK),
    Renew: _Script(_RENEW),
    Beat: _Script(_BEAT),
}


class ValkeyLink:
    """One connection to a server."""

    def __init__(self, url: str, *, now: Callable[[], int] | None = None) -> None:
        """`now` replaces the server's clock, in tests: microseconds."""
        # Only a parser of URLs and a maker of connections here: nothing is pooled.
        self._maker: ConnectionPool = ConnectionPool.from_url(
            url, protocol=2, driver_info=None, socket_timeout=None, socket_connect_timeout=None
        )
        self._now = now
        self._conn: AbstractConnection | None = None

    async def exchange(self, commands: Sequence[Command], budget: float) -> list[Answer]:
        """One pipeline; scripts that the server does not know are loaded and asked for again."""
        return await in_time(self._exchange(commands), budget, server="Valkey", abandon=self._abandon)

    async def _exchange(self, commands: Sequence[Command]) -> list[Answer]:
        at = -1 if self._now is None else self._now()
        conn = self._conn
        if conn is None:
            conn = self._conn = self._connection()
            await conn.connect()  # type: ignore[no-untyped-call]  # redis-py
        return await _ask(conn, [_words(command, at) for command in commands])

    async def _abandon(self, task: "asyncio.Task[list[Answer]]") -> None:
        """Ends what is under way; its connection is given up."""
        task.cancel()
        await asyncio.wait({task})
        await self.close()

    def _connection(self) -> AbstractConnection:
        made: AbstractConnection = self._maker.make_connection()  # type: ignore[no-untyped-call]  # redis-py
        return made

    async def close(self) -> None:
        """Closes the connection, whatever is under way on it."""
        conn, self._conn = self._conn, None
        if conn is not None:
            with suppress(Exception):  # it is given up, and may be broken
                await conn.disconnect(nowait=True)


async def _ask(conn: AbstractConnection, wanted: list[Words]) -> list[Answer]:
    replies = await _round_trip(conn, wanted)
    unknown = [at for at, reply in enumerate(replies) if reply is None]
    if unknown:
        await _round_trip(conn, [("SCRIPT", "LOAD", script.text) for script in _SCRIPTS.values()])
        for at, reply in zip(unknown, await _round_trip(conn, [wanted[at] for at in unknown]), strict=True):
            replies[at] = reply
    return replies


async def _round_trip(conn: AbstractConnection, wanted: list[Words]) -> list[Any]:
    """The replies in order, None where a script was not known; raises with the first other error."""
    await conn.send_packed_command(conn.pack_commands(wanted), check_health=False)
    replies: list[Any] = []
    for _ in wanted:
        try:
            replies.append(await conn.read_response(disable_decoding=True))
        except NoScriptError:
            replies.append(None)
    return replies


def _words(command: Command, at: int) -> Words:
    """A command as the server reads it."""
    name = _SCRIPTS[type(command)].name
    if isinstance(command, Beat):
        return ("EVALSHA", name, 1, _NODES, at, command.node, int(ALIVE_SECONDS * SECOND))
    if isinstance(command, Renew):
        key = _key(command.tag, command.partition) + ":leases"
        return ("EVALSHA", name, 1, key, at, command.lease, *command.ids)
    words: list[str | int] = ["EVALSHA", name, 2 * len(command.claims)]
    for claim in command.claims:
        key = _key(command.claims[0].partition, claim.partition)
        words += (key, key + ":leases")
    words += (at, command.id)
    if isinstance(command, Reserve):
        words.append(command.lease)
        for claim in command.claims:
            words += terms(claim)
    elif isinstance(command, Settle):
        for claim in command.claims:
            moved = 0 if command.tokens is None else change(claim, command.tokens)
            words += (rate(claim.rpm), rate(claim.tpm), moved)
    else:
        words.append(command.at)
        for claim in command.claims:
            words += costs(claim)
    return tuple(words)


def _key(tag: str, partition: str) -> str:
    return f"ingot:limits:{{{tag}}}:{partition}"


def valkey_limiter(
    url: str,
    *,
    clock: Clock,
    ids: NewId,
    node: str,
    log: Log,
    lease: float = LEASE_SECONDS,
    budget: float = BUDGET,
    rest: float = 5.0,
    notify: Callable[[bool, str], None] | None = None,
    now: Callable[[], int] | None = None,
) -> SharedLimiter:
    """A limiter over the Valkey at `url`; `node` names this process, `lease` is in seconds. The rest is for tests."""
    link = ValkeyLink(url, now=now)
    lane = Lane(
        link,
        node=node,
        budget=budget,
        patience=max(PATIENCE, budget),
        clock=clock,
        log=log,
        lease=lease,
        rest=rest,
        notify=notify,
    )
    return SharedLimiter(lane, local=MemoryLimiter(clock), ids=ids)
