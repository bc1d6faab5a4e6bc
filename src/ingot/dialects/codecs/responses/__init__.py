"""The responses codec: OpenAI's responses in the canonical form, and the canonical form as responses.

requests   items, parts, tools, checks             what a client asks, in
targets    writer, parts, tools                    what a client asks, out
answers    output, citations, echo, counts, failures   what a target answers, both ways
decoder    items_decoder, item_states, pieces      the same as a stream, in
encoder    items_encoder, item_encoder             the same as a stream, out
"""

from typing import Final

from ingot.dialects.codec import Codec
from ingot.dialects.codecs.responses.answers import decode_answer, encode_answer
from ingot.dialects.codecs.responses.counts import decode_usage, encode_usage
from ingot.dialects.codecs.responses.decoder import ResponsesDecoder
from ingot.dialects.codecs.responses.encoder import ResponsesEncoder
from ingot.dialects.codecs.responses.failures import decode_error
from ingot.dialects.codecs.responses.requests import decode_request
from ingot.dialects.codecs.responses.targets import encode_request

RESPONSES_CODEC: Final = Codec(
    name="responses",
    decode_request=decode_request,
    encode_request=encode_request,
    decode_answer=decode_answer,
    encode_answer=encode_answer,
    decode_stream=ResponsesDecoder,
    encode_stream=ResponsesEncoder,
    decode_usage=decode_usage,
    encode_usage=encode_usage,
    decode_error=decode_error,
)
