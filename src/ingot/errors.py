"""The errors that a client can meet, drawn as one tree; each dialect owns a table from it to its wire shape.

    ApiError                      status, code, message, param, retry_after, headers, blame
      ClientError                 blame = client
        InvalidRequest 400        malformed, wrong type, out of range
          IdempotencyError 400    a key that was used for another request; not retryable
        Unsupported 400           a field or value that a preset, a deployment or its targets cannot honour
        Unauthenticated 401 - Forbidden 403 - NotFound 404 - MethodNotAllowed 405 - RequestTimeout 408
        Conflict 409 - TooLarge 413 - HeadersTooLarge 431
        RateLimited 429           carries retry_after and the limit's name
        QuotaExceeded 402|403     spend or credit, not retryable
      UpstreamError               blame = upstream
        UpstreamRejected 4xx      relayed: the client can mend it; keeps the upstream's own message
        UpstreamUnavailable 502|503
        UpstreamTimeout 504
      PlatformError 500           blame = platform; the message is generic, the detail is in the log
        Overloaded 503            no capacity, or draining; retryable

Raise the most specific class at the place that knows; convert once, in `web.errors` or a stream encoder.
This module knows no wire format and no HTTP library.
"""

from typing import ClassVar, Literal

Blame = Literal["client", "upstream", "platform"]
Header = tuple[str, str]


class ApiError(Exception):
    """An error with everything that a dialect needs to tell a client what to do next."""

    status: int = 500
    code: str | None = None
    headers: tuple[Header, ...] = ()
    blame: ClassVar[Blame] = "platform"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        patient: bool = False,
        headers: tuple[Header, ...] | None = None,
    ) -> None:
        """`param` is the JSON path of the offending field (`messages[0].content`); `retry_after` is seconds, of which
        clients are told at most what theirs would wait; all of them where only the `patient` get anything.

        `headers` are further header lines, names in lower case.
        """
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.patient = patient
        self.code = type(self).code if code is None else code
        self.status = type(self).status if status is None else status
        self.headers = type(self).headers if headers is None else headers


class ClientError(ApiError):
    status = 400
    blame = "client"


class InvalidRequest(ClientError):
    code = "invalid_value"


class IdempotencyError(InvalidRequest):
    """Tells SDKs to leave off: the same bytes will be refused again."""

    code = "idempotency_key_reused"
    headers = (("x-should-retry", "false"),)


class Unsupported(ClientError):
    code = "unsupported_parameter"


class Unauthenticated(ClientError):
    status = 401
    code = "invalid_api_key"


class Forbidden(ClientError):
    status = 403
    code = "insufficient_permissions"


class NotFound(ClientError):
    status = 404
    code = "not_found"


class MethodNotAllowed(ClientError):
    """Carries the methods that the path does take, for the Allow header."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, *, allow: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allow = allow


class RequestTimeout(ClientError):
    status = 408
    code = "request_timeout"


class Conflict(ClientError):
    status = 409
    code = "conflict"


class TooLarge(ClientError):
    status = 413
    code = "request_too_large"


class HeadersTooLarge(ClientError):
    status = 431
    code = "headers_too_large"


class RateLimited(ClientError):
    status = 429
    code = "rate_limit_exceeded"


class QuotaExceeded(ClientError):
    status = 402
    code = "insufficient_quota"


class UpstreamError(ApiError):
    status = 502
    code = "upstream_error"
    blame = "upstream"


class UpstreamRejected(UpstreamError):
    """The upstream refused this very request; trying it elsewhere would not help."""

    status = 400


class UpstreamUnavailable(UpstreamError):
    status = 503
    code = "upstream_unavailable"


class UpstreamTimeout(UpstreamError):
    status = 504
    code = "upstream_timeout"


class PlatformError(ApiError):
    code = "internal_error"


class Overloaded(PlatformError):
    status = 503
    code = "overloaded"
