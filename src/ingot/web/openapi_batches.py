"""The description of batches to take in: the pages of `/v1/batches` and of `/v1/messages/batches`.

Rows only, as in `openapi_more`; the requests of a batch are described as objects, for what they may hold is said by the surface
that they are for.
"""

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from ingot.dialects.batch_lines import NAME
from ingot.dialects.batches import CreateBatch
from ingot.dialects.message_batches import PATH as MESSAGES
from ingot.web.batches import JSONL, PATH
from ingot.web.openapi_more import Row, kinds

CustomId = Annotated[str, Meta(pattern=f"^{NAME.pattern}$")]


class BatchRequest(Struct, frozen=True, kw_only=True):
    """One request of a batch: `params` is the body of the surface that it is for."""

    custom_id: CustomId
    params: dict[str, Any]


class NewBatch(CreateBatch, frozen=True, kw_only=True):
    """What makes a batch: `requests`, or `input_file_id` of a file with one on each line."""

    requests: Annotated[list[BatchRequest], Meta(min_length=1, max_length=100_000)] | None = None


class NewMessageBatch(Struct, frozen=True, kw_only=True):
    """What makes a batch of messages."""

    requests: Annotated[list[BatchRequest], Meta(min_length=1, max_length=100_000)]


_LIMIT: Final = ("limit", "How many, 1 to 100 (default 20)")
_MARKS: Final = (
    ("after_id", "The id of the last batch of the page before"),
    ("before_id", "The id of the first batch of the page behind; not with after_id"),
)

ROWS: Final = (
    Row(PATH, "post", "Make a batch", body=NewBatch),
    Row(
        PATH,
        "get",
        "List batches, the newest first",
        query=(("after", "The id of the last batch of the page before"), _LIMIT),
    ),
    Row(f"{PATH}/{{id}}", "get", "A batch as it stands"),
    Row(f"{PATH}/{{id}}/cancel", "post", "End what waits of a batch"),
    Row(
        f"{PATH}/{{id}}/results",
        "get",
        "Lines of the requests that have ended",
        query=(
            ("after", "The custom_id of the last line of the page before"),
            ("limit", "How many, 1 to 10000 (default 1000)"),
        ),
        media=JSONL,
        most=10_000,
    ),
    Row(f"{PATH}/{{id}}/{{custom_id}}", "get", "What a request was answered, or how it stands"),
    Row(MESSAGES, "post", "Make a batch of messages", body=NewMessageBatch),
    Row(
        MESSAGES,
        "get",
        "List batches of messages, the newest first",
        query=(*_MARKS, ("limit", "How many, 1 to 1000 (default 20)")),
        most=1_000,
    ),
    Row(f"{MESSAGES}/{{id}}", "get", "A batch of messages as it stands"),
    Row(f"{MESSAGES}/{{id}}", "delete", "Delete a batch that has ended, with its results"),
    Row(f"{MESSAGES}/{{id}}/cancel", "post", "End what waits of a batch of messages"),
    Row(
        f"{MESSAGES}/{{id}}/results", "get", "A line for each request of a batch that has ended", media=JSONL
    ),
)
KINDS: Final = kinds(ROWS)
