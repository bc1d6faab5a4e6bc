"""The admin API's description of itself, OpenAPI 3.1, made from the route table."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import structs

from ingot import __version__
from ingot.idempotency import HEADER, LONGEST_KEY
from ingot.services.accounts.gate import needs_organization
from ingot.services.accounts.permissions import ANYONE, CALLER, OPERATOR, PERSON, VERIFIED, needed
from ingot.web.admin.routes import AdminRoute
from ingot.web.openapi import ErrorBody
from ingot.web.openapi_errors import answers

_REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{(\w+)\}")

_WHO = {
    ANYONE: "Anybody.",
    PERSON: "A person who is logged in.",
    VERIFIED: "A person who is logged in and has verified the mail address.",
    CALLER: "A person who is logged in and verified, or an admin key.",
    OPERATOR: "An operator of this server.",
}


_KEY: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Makes the change once, however often it is sent: with the same key, path and body comes the same "
    "answer again, marked Idempotent-Replayed, for 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
}


def describe(routes: Iterable[AdminRoute], *, cookie: str) -> bytes:
    """The document; `cookie` is the name of the session's."""
    rows = list(routes)
    kinds = [kind for row in rows for kind in (row.body, row.answer, row.query) if kind is not None]
    schemas, components = msgspec.json.schema_components([ErrorBody, *kinds], ref_template=_REF)
    error, found = schemas[0], iter(schemas[1:])
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        body, answer, _ = (
            next(found) if kind is not None else None for kind in (row.body, row.answer, row.query)
        )
        operation = _operation(row, body=body, answer=answer, error=error)
        paths.setdefault(row.path, {})[row.method.lower()] = operation
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Ingot administration", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": cookie},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }
    return msgspec.json.encode(document)


def _operation(row: AdminRoute, *, body: Any, answer: Any, error: Any) -> dict[str, Any]:
    who = (
        _WHO[row.action]
        if not needs_organization(row.action)
        else f"Role in the organization: {needed(row.action)}."
    )
    operation: dict[str, Any] = {
        "summary": row.description,
        "description": who,
        "responses": answers(
            {"application/json": {"schema": answer or {}}}
            | {kind: {"schema": {"type": "string"}} for kind in row.downloads},
            error,
            status=row.status,
            # Who may come in is a question of these answers too.
            guarded=row.action != ANYONE or body is not None,
            body=body is not None,
            lookup=True,
            changes=row.method != "GET",
        ),
    }
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(row.path)
    ]
    parameters += _query(row)
    if row.keyed:
        parameters.append(_KEY)
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    if row.action in {PERSON, VERIFIED}:
        operation["security"] = [{"session": []}]
    elif row.action != ANYONE:
        operation["security"] = [{"session": []}, {"bearer": []}]
    return operation


def _query(row: AdminRoute) -> list[dict[str, Any]]:
    if row.query is None:
        return []
    return [
        {
            "name": each.encode_name,
            "in": "query",
            "required": each.required,
            "schema": msgspec.json.schema(each.type),
        }
        for each in structs.fields(row.query)
    ]
