"""The chat codec: OpenAI's chat completions in the canonical form, and the canonical form as chat completions.

requests   turns, messages, parts, tools                 what a client asks, both ways
answers    choices, counts                               what a target answers, both ways
decoder    choice_decoder        encoder  choice_encoder      the same as a stream
"""

from typing import Final

from ingot.dialects.codec import Codec
from ingot.dialects.codecs.chat.answers import decode_answer, encode_answer
from ingot.dialects.codecs.chat.choices import decode_error
from ingot.dialects.codecs.chat.counts import decode_usage, encode_usage
from ingot.dialects.codecs.chat.decoder import ChatDecoder
from ingot.dialects.codecs.chat.encoder import ChatEncoder
from ingot.dialects.codecs.chat.requests import decode_request, encode_request

CHAT_CODEC: Final = Codec(
    name="chat",
    decode_request=decode_request,
    encode_request=encode_request,
    decode_answer=decode_answer,
    encode_answer=encode_answer,
    decode_stream=ChatDecoder,
    encode_stream=ChatEncoder,
    decode_usage=decode_usage,
    encode_usage=encode_usage,
    decode_error=decode_error,
)
