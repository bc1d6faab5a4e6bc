"""The generated reference pages: errors from `ingot.errors` and the places that raise them, commands from the CLI.

    python tests/reference.py     writes docs/reference/*.md; a test says when they are out of date

Decides how the pages look, and what a client should do about each error. Knows no error and no command by itself:
one that is added without a row here fails the test.
"""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from ingot import errors
from ingot.cli.main import app
from ingot.config.reference import page as config_page
from ingot.conformance import ROWS
from ingot.dialects.envelope import USUAL, error_object
from ingot.errors import ApiError, MethodNotAllowed, UpstreamRejected
from ingot.presets.page import page as presets_page
from matrix import page as clients_page
from pairs.page import page as translation_page
from repository import ROOT, python_files, tree

FOLDER = ROOT / "docs" / "reference"

CLASSES = {
    "InvalidRequest": "Mend the field that `param` names; the message says what would be right.",
    "IdempotencyError": "Do not retry: send a new key with a new request, or the old request with its key.",
    "Unsupported": "Leave the field out, or ask for a model that has it.",
    "Unauthenticated": "Send a valid key as `Authorization: Bearer KEY` or `x-api-key: KEY`.",
    "Forbidden": "Use a key that may do this.",
    "NotFound": "Check the path or the model's name; `GET /v1/models` lists the models.",
    "MethodNotAllowed": "Use a method that the `Allow` header names.",
    "RequestTimeout": "Send the whole request faster; on a slow line raise `limits.request_seconds`.",
    "Conflict": "Look at what is there already, then decide.",
    "TooLarge": "Send less, or raise `limits.body_bytes` or `limits.image_body_bytes`.",
    "HeadersTooLarge": "Send fewer or shorter headers, or raise `limits.headers` or `limits.header_bytes`.",
    "RateLimited": "Try again after `retry-after` seconds.",
    "QuotaExceeded": "Do not retry: credit or a budget has run out.",
    "UpstreamError": "Try again; if it stays, the operator finds the cause in the log under the request id.",
    "UpstreamRejected": "Mend the request: the target refused it, and the message is the target's own.",
    "UpstreamUnavailable": "Try again after `retry-after` seconds.",
    "UpstreamTimeout": "Try again, with a shorter answer; the operator can raise the target's timeouts.",
    "PlatformError": "Report the request id to the operator; the cause is in the log under it.",
    "Overloaded": "Try again after `retry-after` seconds.",
}

TABLES = {
    "complaint.py": "InvalidRequest",
    "fields.py": "InvalidRequest",
    "images.py": "InvalidRequest",
    "refusals.py": "UpstreamRejected",
}

CODES = {
    "account_exists": "Log in, then accept the invitation.",
    "array_above_max_length": "Send fewer elements.",
    "batch_ended": "Nothing: the batch has ended by itself, and its results are there.",
    "batch_not_ended": "Ask again when the batch has ended; `GET` tells its state.",
    "cancelled": "Nothing: the work was cancelled. Send the request again if its answer is wanted after all.",
    "capacity": "Send the same again after `retry-after` seconds: its place is kept. Without that header name a longer window.",
    "conflicting_credentials": "Send one of the two headers, or the same key in both.",
    "content_not_kept": "Nothing: what was not kept cannot be shown. The organization or `store` decides what is kept.",
    "context_length_exceeded": "Shorten the prompt, or ask a model with a longer context.",
    "decimal_above_max_value": "Send a value within the range that the message names.",
    "decimal_below_min_value": "Send a value within the range that the message names.",
    "duplicate_custom_id": "Give each request of a batch a `custom_id` of its own.",
    "email_not_verified": "Follow the link in the mail; `ingot users verify EMAIL` does the same for the operator.",
    "email_unverified": "Follow the link in the mail that came with the sign-up, then try again.",
    "empty_array": "Name at least one element.",
    "empty_file": "Upload a file with at least one request, a JSON object on each line.",
    "empty_string": "Send a value that is not empty.",
    "failed_to_download_image": "Check that the URL answers with the image itself, or send a data URI.",
    "file_not_found": "Name a file of your organization by the id that `/v1/files` gave; it may have expired.",
    "file_too_large": "Send a smaller file, or raise `files.inline_bytes`.",
    "foreign_origin": "Send the change from this server's own pages, or with an admin key.",
    "idempotency_key_in_use": "The first request with this key still runs; send the same again after `retry-after` seconds.",
    "image_file_too_large": "Send a smaller image, or fewer.",
    "image_parse_error": "Send a whole image file.",
    "image_too_large": "Scale the image down to the side that the message names.",
    "integer_above_max_value": "Send a value within the range that the message names.",
    "integer_below_min_value": "Send a value within the range that the message names.",
    "invalid_base64_image": "Write `data:image/png;base64,` and the bytes in standard base64, padded, without line breaks.",
    "invalid_content_type": "Send the body as multipart/form-data, with a boundary.",
    "invalid_encrypted_content": "Send the item as it was given, with a key of the organization that it was given to.",
    "invalid_form": "Send the body as multipart/form-data, as the clients do.",
    "invalid_image_format": "Declare the type that the image has: `image/png`, `image/jpeg`, `image/gif` or `image/webp`.",
    "invalid_image_url": "Send a `https://` URL that leads to the public internet, or a data URI.",
    "invalid_json": "Send one JSON object, in UTF-8, without duplicate keys.",
    "invalid_link": "Ask for another mail; a link works once and for a limited time.",
    "invalid_login": "Check the address and the password, or have a new password set by mail.",
    "invalid_type": "Send the type that the message names.",
    "invalid_url": "Write the batch's `endpoint` as the `url` of each of its lines.",
    "invalid_value": "Send what the message asks for in the field that `param` names.",
    "invitation_for_another": "Log in with the account that the invitation was sent to.",
    "item_not_found": "Send the item itself, or name its response in `previous_response_id`.",
    "key_limit_reached": "Revoke a key that is no longer needed, or move to a plan with more keys.",
    "last_owner": "Make another member an owner first.",
    "malformed_request": "The bytes were no HTTP/1.1 request within the limits; check the client and any proxy.",
    "member_exists": "Change the member's role instead.",
    "misdirected_request": "The operator adds the host name to `server.allowed_hosts`.",
    "missing_api_key": "Send a key; `POST /admin/v1/organizations/ORG/keys` or `ingot keys create --name NAME` makes one.",
    "missing_required_parameter": "Add the field that `param` names.",
    "model_not_found": "Ask for a model that `GET /v1/models` lists.",
    "mutually_exclusive_parameters": "Send one of the fields that the message names.",
    "not_signed_in": "Log in, or send an admin key.",
    "object_above_max_properties": "Send fewer properties.",
    "object_below_min_properties": "Send more properties.",
    "organization_exists": "Use the organization you have, or ask the operator for another.",
    "part_not_found": "Name the parts by the ids that adding them gave.",
    "previous_response_not_found": "Send the whole input: the response was deleted, has expired or was never kept.",
    "queued_tokens_exceeded": "Wait until some of the waiting work is done, or send fewer requests; `batches.queued_tokens` is the limit.",
    "results_expired": "Nothing: results of batches are kept for 30 days.",
    "secret_rotated_recently": "Wait until 24 hours after the last rotation, or send `force`.",
    "signup_closed": "Ask a member of an organization to invite you, or the operator for an account.",
    "storage_off": "Send what came before in `input`; the server or the organization keeps no content.",
    "storage_quota_exceeded": "Delete files that are not needed, or ask the operator for more room.",
    "storage_unavailable": "Send the request again after `retry-after` seconds; the operator looks at the disk or the database.",
    "stream_incomplete": "Get the response without `stream`: it is there.",
    "stream_restarted": "Stream the response again without `starting_after`, or get it whole once it is completed.",
    "string_above_max_length": "Shorten the value that `param` names.",
    "thread_unsupported_request": "Send the whole conversation without `thread`; Anthropic's tool runners do so by themselves.",
    "too_many_tries": "Wait for as long as `retry-after` says.",
    "too_many_waiting": "Wait for the responses that were asked for on this connection.",
    "unknown_parameter": "Leave the field out, or check its spelling.",
    "unknown_url": "Check the path; `GET /openapi.json` lists all.",
    "unsupported_encoding": "Send the body without `Content-Encoding`.",
    "unsupported_endpoint": "Call a surface that the message names, or another model.",
    "unsupported_image_media_type": "Send PNG, JPEG, GIF or WebP.",
    "unsupported_media_type": "Send the body as `Content-Type: application/json`.",
    "unsupported_value": "Use another value for the field that `param` names.",
    "unsupported_websocket_version": "Ask for version 13, as every current client does.",
    "upload_ended": "Begin a new upload.",
    "upstream_credential_refused": "The operator mends the target's `api_key`, or its account.",
    "upstream_not_found": "The operator mends the target's `base_url`, or the route's `model`.",
    "webhook_endpoint_limit": "Delete an endpoint that is not needed any more.",
    "webhook_test_failed": "See that the endpoint's address answers a POST; the message says what went wrong.",
    "websocket_connection_limit_reached": "Open a new connection.",
    "window_missed": "Send the request again, or in a longer completion window.",
    "worker_crashed": "Send the request again; if it ends so once more, tell the operator its id.",
    "wrong_password": "Send the password as it is now.",
}

ERRORS_HEAD = """\
# Errors

<!-- Written by `python tests/reference.py` from src/ingot/errors.py; edit that instead. -->

Every error has the same body, with all four keys:

```json
{"error": {"message": "what is wrong, and what would be right", "type": "invalid_request_error",
           "param": "messages[0].content", "code": "invalid_type"}}
```

`param` is the path of the offending field, or null. `code` is stable: match on it, not on the message. Every answer
carries `x-request-id`, the id under which the log knows the request; a client may choose it by sending that header.
Where another try helps, `retry-after` (seconds) and `retry-after-ms` say when.

Ingot itself retries a target on 408, 409, 429, 5xx and lost connections, before the first byte of an answer, so a
client sees such an error only when all tries failed. Once a stream has begun its status is 200: a later failure is one
last event `data: {"error": {...}}`, and no `[DONE]` follows; on `/v1/responses` it is `response.failed`.

On `/v1/messages` errors have [Anthropic's envelope](../howto/messages.md#errors): the code is in `details.error_code`, and the type follows
from the status, but for `idempotency_error`, which is told on every surface.

A [preset](presets.md) may give an error another status, type, code or message; below is what `open` has.

## The tree

`blame` says who can end the error: the client, the target, or this server's operator. Names are those of the source.

| error | status | type | code | blame | what to do |
|---|---|---|---|---|---|
"""

CODES_HEAD = """
## More codes

Where an error is more special than its class, it carries one of these codes instead. Codes of a target's own refusal
(4xx) pass through unchanged.

| code | error | what to do |
|---|---|---|
"""

CONFORMANCE_HEAD = """\
# Conformance rows

<!-- Written by `python tests/reference.py` from src/ingot/conformance/rows; edit that instead. -->

What `ingot conformance URL --preset NAME` tries, and under which presets. S rows are what a service says of itself, C rows what its
documentation adds, X rows where services disagree, R rows what today's clients need; W, F, A and P rows are OpenAI's contract on the wire, in fields,
answers and pages. A row of a surface that the server does not have is skipped.

| row | presets | what it says |
|---|---|---|
"""

CLI_HEAD = """\
# Commands

<!-- Written by `python tests/reference.py` from src/ingot/cli; edit that instead. -->

`ingot COMMAND --help` shows the same. Results go to stdout, problems and hints to stderr. Exit status: 0 done,
1 refused or failed, 2 wrong usage; `ingot models pull` ends with 130 when it is interrupted.
"""


def errors_page() -> str:
    """docs/reference/errors.md."""
    rows = "".join(f"| {' | '.join(row)} |\n" for row in class_rows(ApiError, depth=0))
    codes = "".join(
        f"| `{code}` | {', '.join(sorted(raisers))} | {CODES[code]} |\n"
        for code, raisers in sorted(special_codes().items())
    )
    return ERRORS_HEAD + rows + CODES_HEAD + codes


def class_rows(cls: type[ApiError], *, depth: int) -> Iterator[tuple[str, ...]]:
    """A row for each error below `cls` that is raised as such."""
    for each in cls.__subclasses__():
        if each.__module__ != errors.__name__:
            continue
        name = "&nbsp;" * 4 * depth + each.__name__
        if each.__name__ in CLASSES:
            error = each("m", allow=()) if issubclass(each, MethodNotAllowed) else each("m")
            shape = error_object(error, "", table=USUAL)["error"]
            code, status = f"`{shape['code']}`", str(each.status)
            if each is UpstreamRejected:
                code, status = f"the target's, else {code}", "4xx"
            advice = CLASSES[each.__name__] + ("" if each.__name__ in raised() else " Nothing raises it yet.")
            yield name, status, f"`{shape['type']}`", code, each.blame, advice
        else:
            yield name, "", "", "", each.blame, ""
        yield from class_rows(each, depth=depth + 1)


@functools.cache
def raised() -> frozenset[str]:
    """The names of what the source calls; an error that is not among them cannot happen."""
    nodes = (node for path in python_files("src") for node in ast.walk(tree(path)))
    return frozenset(
        node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    )


def special_codes() -> dict[str, set[str]]:
    """The codes that the source gives to errors beside their class's own, with the classes."""
    found: dict[str, set[str]] = {}
    for path in python_files("src"):
        for code, raiser in (*direct_codes(path), *tabled_codes(path)):
            found.setdefault(code, set()).add(raiser)
    return found


def direct_codes(path: Path) -> Iterator[tuple[str, str]]:
    """The codes in calls such as `NotFound(..., code="model_not_found")`, with the class."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and hasattr(errors, node.func.id):
            for keyword in node.keywords:
                if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                    yield str(keyword.value.value), node.func.id


def tabled_codes(path: Path) -> Iterator[tuple[str, str]]:
    """The codes in a module's tables named `..._CODES`, with the class that those files raise."""
    for node in tree(path).body:
        name = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(name, ast.Name) and name.id.endswith("_CODES"):
            table = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            for value in table.values if isinstance(table, ast.Dict) else ():
                parts = value.elts if isinstance(value, ast.Tuple) else [value]
                if isinstance(parts[0], ast.Constant):
                    yield str(parts[0].value), TABLES[path.name]


def cli_page() -> str:
    """docs/reference/cli.md."""
    sections = [section(name, command) for name, command in sorted(commands().items()) if name != "ingot"]
    return CLI_HEAD + "".join(sections)


def conformance_page() -> str:
    """docs/reference/conformance.md."""
    rows = "".join(f"| {each.id} | {', '.join(each.checks)} | {each.says} |\n" for each in ROWS)
    return CONFORMANCE_HEAD + rows


def commands() -> dict[str, Any]:
    """Every command by its whole name; typer's own classes carry no types."""
    found: dict[str, Any] = {}

    def walk(name: str, command: Any) -> None:
        found[name] = command
        for part, child in getattr(command, "commands", {}).items():
            walk(f"{name} {part}", child)

    walk("ingot", typer.main.get_command(app))
    return found


def section(name: str, command: Any) -> str:
    """A command's heading, purpose, and options."""
    if hasattr(command, "commands"):
        return f"\n## `{name}`\n\n{command.help}\n"
    arguments = [each for each in command.params if not each.opts[0].startswith("-")]
    options = [each for each in command.params if each.opts[0].startswith("-") and not each.hidden]
    usage = " ".join([name, *(each.name.upper() for each in arguments)])
    level = "##" if name.count(" ") == 1 else "###"
    lines = [f"\n{level} `{usage}`\n", f"{command.help}\n"]
    if arguments or options:
        lines += ["| argument or option | default | meaning |", "|---|---|---|"]
        lines += [f"| `{each.name.upper()}` | {default(each)} | {each.help} |" for each in arguments]
        lines += [f"| {spelling(each)} | {default(each)} | {meaning(each)} |" for each in options]
    return "\n".join(lines) + "\n"


def spelling(option: Any) -> str:
    """`--model, -m TEXT`: an option as it is written."""
    names = ", ".join([*option.opts, *option.secondary_opts])
    if option.is_flag:
        return f"`{names}`"
    kind = option.type_descriptor.annotation.__name__.upper()
    return f"`{names} {({'STR': 'TEXT', 'INT': 'N', 'FLOAT': 'N'}).get(kind, kind)}`"


def default(option: Any) -> str:
    """What counts without the option."""
    if option.required:
        return "**required**"
    if option.is_flag if hasattr(option, "is_flag") else False:
        return "on" if option.default else ""
    return "" if option.default is None else f"`{option.default}`"


def meaning(option: Any) -> str:
    """An option's help, and its variable where it has one of its own."""
    return f"{option.help} Variable: `{option.envvar}`." if option.envvar else str(option.help)


def pages() -> dict[str, str]:
    """Every generated page by its file name."""
    return {
        "errors.md": errors_page(),
        "cli.md": cli_page(),
        "clients.md": clients_page(),
        "config.md": config_page(),
        "conformance.md": conformance_page(),
        "presets.md": presets_page(),
        "translation.md": translation_page(),
    }


if __name__ == "__main__":
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
