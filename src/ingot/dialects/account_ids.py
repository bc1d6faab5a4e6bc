"""Ids in a request that name things of the target's account: stores of vectors, containers, prompts and skills that are there.

The account is that of whoever runs the server, and all clients share it: an id names what another of them, or nobody of them,
has put there. Decides which members of a request are such ids. Refuses to know who may use them.
"""

from collections.abc import Iterator
from typing import Any

from ingot.dialects.dialect import Call
from ingot.errors import Unsupported

Json = dict[str, Any]


def refuse_in_responses(call: Call, deployment: str) -> None:
    """Raises Unsupported for the first such id of a request for a response."""
    _refuse(_in_responses(call.body.value), deployment)


def refuse_in_messages(call: Call, deployment: str) -> None:
    """Raises Unsupported for the first such id of a request for a message."""
    _refuse(_in_container(call.body.value.get("container"), "container"), deployment)


def _refuse(places: Iterator[str], deployment: str) -> None:
    place = next(places, None)
    if place is not None:
        raise Unsupported(
            f"'{place}' names something of the account behind the model '{deployment}', which is not yours. Leave it out, or "
            'have whoever runs this server set account_ids = "relay" for the model.',
            param=place,
        )


def _in_responses(value: Json) -> Iterator[str]:
    prompt = value.get("prompt")
    if type(prompt) is dict and prompt.get("id"):
        yield "prompt.id"
    for index, tool in enumerate(value.get("tools") or ()):
        where = f"tools[{index}]"
        if tool.get("vector_store_ids"):
            yield f"{where}.vector_store_ids"
        for name in ("container", "environment"):
            yield from _in_container(tool.get(name), f"{where}.{name}")


def _in_container(held: Any, where: str) -> Iterator[str]:
    """A container by its id, and skills that somebody has uploaded; one that is made for the request has neither."""
    if type(held) is str and held:
        yield where
    if type(held) is not dict:
        return
    for name in ("id", "container_id"):
        if held.get(name):
            yield f"{where}.{name}"
    skills = held.get("skills")
    for index, skill in enumerate(skills if type(skills) is list else ()):
        # The provider's own are everybody's.
        if (
            type(skill) is dict
            and skill.get("skill_id")
            and skill.get("type") in ("custom", "skill_reference")
        ):
            yield f"{where}.skills[{index}].skill_id"
