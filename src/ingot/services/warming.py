"""A response that is asked for and not generated: its request is checked, and can be gone on from on the same connection.

    history --> counted as a request --> a response without output

No target is asked, so nothing is paid, and nothing is stored. Decides what such a response says.
"""

from msgspec.structs import replace

from ingot.canonical import Request
from ingot.dialects.codec import Reply
from ingot.dialects.codecs.responses.echo import Envelope
from ingot.dialects.cuts import dump
from ingot.services.accounting import new_response_id
from ingot.services.asking import Asked, ClientDoor, before, seen
from ingot.services.door import Outcome
from ingot.services.runtime import Runtime

NOTHING = {
    "input_tokens": 0,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 0,
}


async def run(runtime: Runtime, asked: Asked, door: ClientDoor, outcome: Outcome) -> tuple[str, bytes]:
    """Gives the response to `door`; its id and itself. Raises ApiError while nothing was given."""
    call = await before(runtime, asked.dialect, asked.call, asked.principal, recent=asked.recent)
    call = await seen(runtime, asked, call)
    admission = await runtime.gate.count(asked.principal)
    await runtime.gate.leave(admission, tokens=0)
    now = runtime.clock.now()
    name, model = new_response_id(now), asked.deployment.name
    body = asked.call.body
    told = replace(body, value={**body.value, "store": False})
    empty = Request(origin="responses", model=model, turns=())
    envelope = Envelope(Reply(id=name, model=model, created=int(now), request=empty, body=told))
    response = envelope.write("completed", output=[], tier=None, usage=NOTHING)
    answer = dump({**response, "completed_at": int(now)})
    outcome.status = 200
    outcome.target = "none"
    door.answer(200, answer, content_type=b"application/json")
    return name, answer
