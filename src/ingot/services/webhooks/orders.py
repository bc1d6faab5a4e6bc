"""What a request says in `metadata.completion_webhook`, judged before it runs: an order, one that is refused, or none.

An address that cannot be called never fails an inference. Whether it is told is the preset's to say; whether the address
is safe is asked anew at each delivery, of the very address that is connected to. A token is sealed at once: nothing behind
this module sees it but who sends.
"""

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from ingot.addresses import BadUrl, Reach, check_place, read_url
from ingot.config import WebhooksConfig
from ingot.deliveries import encode_policy, place_of
from ingot.presets import Preset
from ingot.rawjson import kind_of
from ingot.sealing import RandomBytes, seal, unseal
from ingot.store.orders import Hook

URL: Final = "completion_webhook"
TOKEN: Final = "webhook_token"  # noqa: S105  # the name of a field
LONGEST_TOKEN: Final = 512

_TOKEN: Final = re.compile(f"[!-~]{{1,{LONGEST_TOKEN}}}")

Digest = Callable[[bytes], bytes]
"""The HMAC under the pepper."""


def reach_of(config: WebhooksConfig) -> Reach:
    """How far calls to customers may go."""
    networks = tuple(map(ipaddress.ip_network, config.networks))
    return Reach(http=config.http, ports=frozenset(config.ports), networks=networks)


def order_of(
    preset: Preset,
    value: Mapping[str, Any],
    *,
    surface: str,
    org_id: str,
    response_id: str,
    reach: WebhooksConfig,
    digest: Digest,
    random: RandomBytes = os.urandom,
) -> Hook | None:
    """What the request with this body orders; None where it orders nothing, or nothing that is told."""
    rules, pairs = preset.webhooks, value.get("metadata")
    if not isinstance(pairs, dict) or pairs.get(URL) is None or surface not in rules.surfaces:
        return None
    url, token = pairs[URL], pairs.get(TOKEN)
    try:
        place = check_url(url, reach_of(reach))
        sealed = None if token is None else _sealed(token, org_id, response_id, digest=digest, random=random)
    except BadUrl as error:
        return Hook(url="", rejected=str(error)) if rules.told else None
    return Hook(url=url, place=place, token=sealed, policy=encode_policy(rules.policy))


def check_url(url: Any, reach: Reach) -> str:
    """What failures of the URL are counted by; raises BadUrl with a whole sentence."""
    if type(url) is not str:
        raise BadUrl(f"The URL must be a string, not {kind_of(url)}.")
    try:
        place = read_url(url)
        check_place(place, reach)
    except BadUrl as error:
        raise BadUrl(f"The URL {error}.") from error
    return place_of(place)


def open_token(sealed: bytes, *, org_id: str, response_id: str, digest: Digest) -> str:
    """The token again, for who sends it; raises `sealing.Broken`."""
    return unseal(sealed, _key(org_id, digest), bound=response_id.encode()).decode("ascii")


def _sealed(token: Any, org_id: str, response_id: str, *, digest: Digest, random: RandomBytes) -> bytes:
    if type(token) is not str or _TOKEN.fullmatch(token) is None:
        raise BadUrl(
            f"The '{TOKEN}' must be a string of 1 to {LONGEST_TOKEN} visible ASCII characters, as a header carries them."
        )
    return seal(token.encode(), _key(org_id, digest), bound=response_id.encode(), random=random)


def _key(org_id: str, digest: Digest) -> bytes:
    return digest(b"\0ingot webhook token\n" + org_id.encode())
