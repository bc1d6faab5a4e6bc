"""The messages codec: Anthropic's messages in the canonical form, and the canonical form as messages.

requests   turns, blocks, tools, thinking          what a client asks, in
           messages, block_writer                  what a client asks, out
answers    ends, counts, failures                  what a target answers, both ways
decoder    block_decoder        encoder  block_encoder      the same as a stream
versions   checks                                  what a body may hold, and what is wrong with it

There is one codec for each version of the wire: answers are the same in both, requests are not.
"""

from functools import partial
from typing import Final

from ingot.dialects.codec import Codec
from ingot.dialects.codecs.messages.answers import decode_answer, encode_answer
from ingot.dialects.codecs.messages.counts import decode_usage, encode_usage
from ingot.dialects.codecs.messages.decoder import MessagesDecoder
from ingot.dialects.codecs.messages.encoder import MessagesEncoder
from ingot.dialects.codecs.messages.failures import decode_error
from ingot.dialects.codecs.messages.requests import MAX_TOKENS, decode_request, encode_request
from ingot.dialects.codecs.messages.versions import RULES, VERSIONS, Version


def codec_of(version: Version) -> Codec:
    """The codec of clients or targets that speak this version."""
    return Codec(
        name="messages",
        decode_request=partial(decode_request, rules=RULES[version]),
        encode_request=partial(encode_request, rules=RULES[version]),
        decode_answer=decode_answer,
        encode_answer=encode_answer,
        decode_stream=MessagesDecoder,
        encode_stream=MessagesEncoder,
        decode_usage=decode_usage,
        encode_usage=encode_usage,
        decode_error=decode_error,
    )


MESSAGES_CODECS: Final = {version: codec_of(version) for version in VERSIONS}
# Nearly every server takes the older version, also those that are not Anthropic's.
MESSAGES_CODEC: Final = MESSAGES_CODECS["2023-06-01"]

__all__ = ["MAX_TOKENS", "MESSAGES_CODEC", "MESSAGES_CODECS", "Version", "codec_of"]
