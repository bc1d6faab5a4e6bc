"""The errors of an operation, as OpenAPI documents list them: a status each, and what it means.

Decides which statuses an operation can have by what it is. A preset may give an error another status than here, for
which there is `default`. Knows no path.
"""

from typing import Any, Final

_MEANINGS: Final = {
    400: "Something in the request is wrong; `param` names the field",
    401: "No valid key or session",
    402: "Credit or a budget has run out",
    403: "This key or person may not do it",
    404: "There is no such thing, or model",
    408: "The request came too slowly",
    409: "Something is there already, or an idempotency key is in use",
    413: "The body is too large",
    415: "The body is no JSON, or is encoded",
    421: "The host name is not served here",
    429: "A limit is reached; `retry-after` says when to try again",
    431: "The headers are too large",
    500: "A fault of this server",
    502: "The target failed",
    503: "The server or the target is busy, or storage is out of reach",
    504: "The target took too long",
    529: "The server or the target is overloaded, or storage is out of reach",
}
_EVERYWHERE: Final = (400, 408, 421, 429, 431, 500, 503)
_GUARDED: Final = (401, 403)
_WITH_BODY: Final = (413, 415)
_INFERENCE: Final = (402, 404, 409, 502, 504)


def answers(
    answer: dict[str, Any],
    error: Any,
    *,
    status: int = 200,
    guarded: bool = True,
    body: bool = False,
    lookup: bool = False,
    changes: bool = False,
    inference: bool = False,
    anthropic: bool = False,
) -> dict[str, Any]:
    """All answers of an operation; `answer` is the content of the good one, `error` the schema of the others.

    `lookup`: it names something that may not be there. `changes`: something may be there already. `inference`: a model
    is asked, and paid. `anthropic`: it answers in Anthropic's envelope, where what is a 503 elsewhere is a 529.
    """
    statuses = {*_EVERYWHERE}
    for applies, more in (
        (guarded, _GUARDED),
        (body, _WITH_BODY),
        (lookup, (404,)),
        (changes, (409,)),
        (inference, _INFERENCE),
    ):
        if applies:
            statuses.update(more)
    if anthropic:
        statuses = statuses - {503} | {529}
    content = {"application/json": {"schema": error}}
    told: dict[str, Any] = {str(status): {"description": "The answer", "content": answer}}
    told |= {str(each): {"description": _MEANINGS[each], "content": content} for each in sorted(statuses)}
    told["default"] = {
        "description": "An error that the preset or Anthropic's envelope gives another status",
        "content": content,
    }
    return told
