"""A preset put to use: errors as it wants them, and dialects that keep its rules.

Decides where rules come in: after a body is known to be sound JSON, before the dialect looks at its fields.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ingot import rawjson
from ingot.dialects import envelope, messages_errors
from ingot.dialects.dialect import Call, Dialect
from ingot.dialects.messages import take_any_version, take_headers
from ingot.errors import ApiError
from ingot.presets.fields import Rules
from ingot.presets.preset import Preset


def encode_error(preset: Preset, error: ApiError, request_id: str) -> tuple[int, bytes]:
    """The status and the body of an error that no surface has taken up."""
    return envelope.encode_error(error, request_id, table=preset.errors)


def encode_anthropic_error(preset: Preset, error: ApiError, request_id: str) -> tuple[int, bytes]:
    """The same for Anthropic's clients, where the preset answers each in its own envelope."""
    encoder = envelope.encoder if preset.envelope == "openai" else messages_errors.encoder
    return encoder(preset.errors)(error, request_id)


def dressed(dialect: Dialect, preset: Preset) -> Dialect:
    """The dialect under a preset: `dialect` itself where the preset has nothing to say, as `open` has not."""
    encoder = envelope.encoder if preset.envelope == "openai" else dialect.encoder
    answers = preset.answers.get(dialect.name)
    if preset.errors != envelope.USUAL or encoder is not dialect.encoder or answers is not None:
        encode = encoder(preset.errors)
        dialect = replace(
            dialect,
            reshape=answers,
            tap=dialect.tap.dressed(encode, answers),
            encode_error=encode,
            error_event=partial(_event, encode, dialect.tap.frame),
        )
    if dialect.take_headers is take_headers and preset.versions == "ignored":
        dialect = replace(dialect, take_headers=take_any_version)
    rules = preset.rules.get(dialect.name)
    return dialect if rules is None else replace(dialect, decode=_ruled(dialect.decode, rules))


def _event(
    encode: envelope.EncodeError, frame: Callable[[bytes], bytes], error: ApiError, request_id: str
) -> bytes:
    return frame(encode(error, request_id)[1])


def _ruled(decode: Callable[[bytes], Call], rules: Rules) -> Callable[[bytes], Call]:
    def decode_ruled(data: bytes) -> Call:
        return decode(rules.applied(rawjson.parse(data)))

    return decode_ruled
