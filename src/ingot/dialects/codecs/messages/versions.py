"""The two versions of the wire, by the value of `anthropic-version`, and what a body of each may hold.

    2023-06-01    older clients and most other servers
    2026-10-21    no sampling settings, no documents in an assistant's message, no citations in a user's text

Decides which rules go with which version. Which version a client or a target speaks is the caller's to say.
"""

from typing import Final, Literal, get_args

from msgspec import Struct

Version = Literal["2023-06-01", "2026-10-21"]
VERSIONS: Final[tuple[Version, ...]] = get_args(Version)


class Rules(Struct, frozen=True, kw_only=True):
    """What a body of one version may hold.

    The last two are what is asked of a target for clients of other dialects; a client of this one may use both under
    either version: `system_messages` are those between others, `adaptive` leaves it to the model how much it thinks.
    """

    version: Version
    sampling: bool
    assistant_documents: bool
    user_citations: bool
    system_messages: bool
    adaptive: bool


RULES: Final[dict[Version, Rules]] = {
    "2023-06-01": Rules(
        version="2023-06-01",
        sampling=True,
        assistant_documents=True,
        user_citations=True,
        system_messages=False,
        adaptive=False,
    ),
    "2026-10-21": Rules(
        version="2026-10-21",
        sampling=False,
        assistant_documents=False,
        user_citations=False,
        system_messages=True,
        adaptive=True,
    ),
}
SAMPLING: Final = ("temperature", "top_p", "top_k")
