"""The configuration as frozen records: every key, its type, its default, its meaning and its unit.

These structs are the single source: the loader, the `INGOT_*` variables, the JSON Schema and the reference
page are all derived from them. Decides names and ranges of single keys. Refuses to know where values come
from and how keys depend on each other.
"""

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, field

from ingot.config.batches import BatchesConfig
from ingot.config.clientfiles import FilesConfig
from ingot.config.extras import CardConfig
from ingot.config.images import Handling, ImagesConfig
from ingot.config.platform import AccountsConfig, LimiterConfig, MailConfig, StoreConfig, WorkerConfig
from ingot.config.prices import PRICE_HELP, PriceConfig
from ingot.config.section import Section, about
from ingot.config.server import ServerConfig
from ingot.config.webhooks import WebhooksConfig
from ingot.config.windows import WindowConfig

DIALECTS: Final = ("chat", "responses", "messages", "embeddings", "completions")
Dialect = Literal["chat", "responses", "messages", "embeddings", "completions"]

ENGINE_PREFIX: Final = "engine:"
TARGETS_HELP: Final = 'name at least one target, for example targets = ["mock"] for a table [targets.mock]'
BASE_URL_HELP: Final = 'give the address that the API stands below, for example "http://127.0.0.1:8000/v1"'


class EngineConfig(Section, frozen=True, kw_only=True):
    """`[engine]`: the embedded llama.cpp engine. Changes need a restart."""

    enabled: Annotated[bool, about("Run embedded models at all; `false` serves targets only.")] = True
    demo: Annotated[bool, about("Serve the bundled model `demo-tiny`.")] = True
    threads: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | None,
        about("Threads that compute; unset takes the cores we may use.", example="4"),
    ] = None
    parallel: Annotated[
        int, Meta(ge=1, le=256), about("Requests that one model works on at the same time (slots).")
    ] = 8
    context: Annotated[
        Annotated[int, Meta(ge=256, le=16_777_216)] | None,
        about(
            "Context of each slot; unset takes the model's own, as far as memory allows.",
            unit="tokens",
            example="8192",
        ),
    ] = None
    command: Annotated[
        str, about("Path of a `llama-server` binary to run instead of the bundled engine; empty: bundled.")
    ] = ""


class QuirksConfig(Section, frozen=True, kw_only=True):
    """`[targets.NAME.quirks]`: how this target differs, in four verbs on top-level fields of a request."""

    rename: Annotated[
        dict[str, str],
        about('Fields that the target knows by another name, as `{ max_completion_tokens = "max_tokens" }`.'),
    ] = field(default_factory=dict)
    drop: Annotated[
        list[str],
        about(
            "Fields removed, because the target refuses them and they change nothing. A request that has one is told so in "
            "`x-ingot-loss`."
        ),
    ] = field(default_factory=list)
    set: Annotated[dict[str, Any], about("Fields given a fixed value, whatever the client sent.")] = field(
        default_factory=dict
    )
    reject: Annotated[
        list[str],
        about(
            "Fields, or content parts `image_url`, `input_audio`, `file`, or blocks of messages such as `image` and "
            "`document`, that this target cannot honour: "
            "a request with one is answered with a clear 400."
        ),
    ] = field(default_factory=list)
    usage: Annotated[
        str, Meta(min_length=1), about("Where the answer holds its token counts, as a dotted path.")
    ] = "usage"
    no_stream_options: Annotated[
        bool,
        about("The target refuses `stream_options`; streamed usage is then read only if it comes by itself."),
    ] = False
    narrow_tools: Annotated[
        bool,
        about("The target ignores a `tool_choice` that names tools; it is then sent those tools alone."),
    ] = False
    gbnf: Annotated[
        bool,
        about(
            "The target is llama.cpp, which compiles JSON schemas into its own grammar: patterns are put so that it reads "
            "them, and what it cannot read, or would leave out of a demanded schema, is refused."
        ),
    ] = False


class TimeoutsConfig(Section, frozen=True, kw_only=True):
    """`[targets.NAME.timeouts]`: how long to wait for a target."""

    connect: Annotated[
        float, Meta(gt=0, le=600), about("For the connection, TLS included.", unit="seconds")
    ] = 5.0
    first_byte: Annotated[
        float,
        Meta(gt=0, le=86400),
        about("From the request sent to the first byte of the answer.", unit="seconds"),
    ] = 600.0
    idle: Annotated[
        float, Meta(gt=0, le=86400), about("Between two pieces of an answer.", unit="seconds")
    ] = 120.0


class BreakerConfig(Section, frozen=True, kw_only=True):
    """`[targets.NAME.breaker]`: when to leave a failing target alone."""

    failures: Annotated[int, Meta(ge=1, le=1000), about("Failures in a row that open the breaker.")] = 5
    open_seconds: Annotated[
        float, Meta(gt=0, le=3600), about("Rest before one request tries the target again.", unit="seconds")
    ] = 10.0


class TargetConfig(Section, frozen=True, kw_only=True):
    """`[targets.NAME]`: one upstream server. Reloaded on SIGHUP."""

    base_url: Annotated[
        str,
        about(
            "Address that the API stands below, usually ending in `/v1`. http or https, no user, no query.",
            missing=BASE_URL_HELP,
            instead="https://example.org",
        ),
    ]
    api_key: Annotated[
        str | None,
        about(
            "Credential sent as a bearer token, and as `x-api-key` for messages: `${VAR}`, or `file:PATH`, rather than "
            "the key itself."
        ),
    ] = None
    api_key_file: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        about("File that holds the credential; not readable by other users. Relative to this file."),
    ] = None
    dialects: Annotated[list[Dialect], Meta(min_length=1), about("Wire formats that the target speaks.")] = (
        field(default_factory=lambda: ["chat", "embeddings", "completions"])
    )
    headers: Annotated[
        dict[str, str], about("Headers added to every request; a value may be `${VAR}` or `file:PATH`.")
    ] = field(default_factory=dict)
    images: Annotated[
        Handling | None,
        about(
            "What becomes of images: `relay` leaves their URLs to the target, `fetch` fetches them here and sends the "
            "bytes, `refuse` is for targets that read text only. Unset: `relay`."
        ),
    ] = None
    quirks: Annotated[QuirksConfig, about("How this target differs.")] = QuirksConfig()
    timeouts: Annotated[TimeoutsConfig, about("How long to wait for it.")] = TimeoutsConfig()
    breaker: Annotated[BreakerConfig, about("When to leave it alone.")] = BreakerConfig()
    capacity: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None,
        about("Most requests in flight at it; unset: no bound."),
    ] = None
    health: Annotated[
        str | None,
        about("Path on the server (not below `base_url`) that answers 2xx while it works, as `/health`."),
    ] = None
    health_seconds: Annotated[
        float, Meta(ge=0.5, le=3600), about("Time between two checks of `health`.", unit="seconds")
    ] = 10.0
    verify_tls: Annotated[bool, about("Check the server's certificate.")] = True
    allow_plaintext: Annotated[
        bool, about("Permit http to a public address: keys and prompts then travel unprotected.")
    ] = False

    def __repr__(self) -> str:
        """Without the credential and the header values: records end up in logs and tracebacks."""
        return f"TargetConfig(base_url={self.base_url!r}, dialects={self.dialects!r})"


class RouteConfig(Section, frozen=True, kw_only=True):
    """An entry of a model's `targets`, where more than the target's name is to be said."""

    target: Annotated[
        str,
        Meta(min_length=1),
        about(
            "Name of a `[targets.NAME]` table, or `engine:MODEL` for an embedded model.", missing=TARGETS_HELP
        ),
    ]
    model: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        about("What this target calls the model; unset: the same name."),
    ] = None
    weight: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None,
        about("Share of the requests, relative to the others'; unset: 1."),
    ] = None


class ModelConfig(Section, frozen=True, kw_only=True):
    """`[models.NAME]`: a public model name. Quote names with slashes or dots. Reloaded on SIGHUP."""

    targets: Annotated[
        list[str | RouteConfig],
        Meta(min_length=1),
        about(
            "Where its requests go: names of targets, or tables `{ target, model, weight }`.",
            missing=TARGETS_HELP,
            instead=[],
        ),
    ]
    price: Annotated[
        Literal["free"] | PriceConfig,
        about(
            'What its tokens cost: `"free"`, or a table of prices. There is no default.',
            missing=PRICE_HELP,
            instead="free",
        ),
    ]
    strategy: Annotated[
        Literal["ordered", "weighted"] | None,
        about(
            "`ordered` tries the targets one after the other, `weighted` spreads requests by weight. "
            "Unset: weighted if any weight is given, else ordered."
        ),
    ] = None
    attempts: Annotated[
        int, Meta(ge=1, le=10), about("Most tries of one request over all targets, before its first byte.")
    ] = 3
    context: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000_000)] | None,
        about("Longest prompt and answer together.", unit="tokens"),
    ] = None
    on_loss: Annotated[
        Literal["refuse", "warn"],
        about(
            "What to do where a request goes to a target of another dialect, and something of it that may change the answer "
            "cannot be translated: `refuse` answers 400 and names the field, `warn` leaves it out and says so in the header "
            "`x-ingot-loss`. Mere hints, such as cache breakpoints, are always left out and told."
        ),
    ] = "refuse"
    unknown_thoughts: Annotated[
        Literal["drop", "relay"],
        about(
            "What becomes of `encrypted_content` in requests to `/v1/responses` of which this server does not know which target "
            "made it: `drop` leaves it out and says so in `x-ingot-loss`, `relay` trusts that it is the target's own."
        ),
    ] = "drop"
    account_ids: Annotated[
        Literal["refuse", "relay"],
        about(
            "What becomes of ids in requests that name things of the target's account, which is yours: `vector_store_ids`, ids of "
            "containers, prompts and uploaded skills. `relay` lets every key with this model use them."
        ),
    ] = "refuse"
    windows: Annotated[
        list[Annotated[str, Meta(min_length=1)]],
        Meta(min_length=1),
        about(
            "Completion windows in which the model may be asked for: `asap`, `priority`, `standard`, `flex`, or those of "
            "`[windows.NAME]`. A request that names none is in `standard` where the model has it, else in `asap`, else in the first."
        ),
    ] = field(default_factory=lambda: ["asap"])
    images: Annotated[
        Handling | None,
        about("What becomes of images, whatever its targets say: `relay`, `fetch` or `refuse`."),
    ] = None
    constitution: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        about(
            "File of principles that go before every request as system text, relative to this file, or `bundled:aurora`."
        ),
    ] = None
    refusal_mark: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        about(
            "What the model's refusals begin with. It is taken away, and what follows marked as a refusal. Unset: `[refusal]` "
            "where there is a constitution, which then asks the model for it; else nothing is."
        ),
    ] = None
    card: Annotated[CardConfig | None, about("What people should know of the model.")] = None
    owned_by: Annotated[str, Meta(min_length=1), about("Whom `/v1/models` names as the model's owner.")] = (
        "ingot"
    )
    created: Annotated[
        Annotated[int, Meta(ge=0, le=253_402_300_799)] | None,
        about(
            "When `/v1/models` says the model was made; unset: when this server started.", unit="Unix seconds"
        ),
    ] = None

    deprecated: Annotated[
        str | None,
        about(
            "Day from which answers carry a `deprecation` header, as `2026-11-01`.", example='"2026-11-01"'
        ),
    ] = None
    shutdown_date: Annotated[
        str | None,
        about(
            "Day on which the model ends, told by `/v1/models` and a `sunset` header; needs `deprecated`.",
            example='"2027-05-01"',
        ),
    ] = None

    def routes(self) -> tuple[RouteConfig, ...]:
        """Its targets, each as a full record."""
        return tuple(RouteConfig(target=each) if isinstance(each, str) else each for each in self.targets)


class LimitsConfig(Section, frozen=True, kw_only=True):
    """`[limits]`: what one request may cost this process. Changes need a restart."""

    body_bytes: Annotated[
        int, Meta(ge=1024, le=1_000_000_000), about("Longest body of a request.", unit="bytes")
    ] = 10_000_000
    image_body_bytes: Annotated[
        int, Meta(ge=1024, le=1_000_000_000), about("Longest body of a request with images.", unit="bytes")
    ] = 33_554_432
    headers: Annotated[int, Meta(ge=16, le=1000), about("Most headers of a request.")] = 64
    header_bytes: Annotated[
        int,
        Meta(ge=1024, le=1_000_000),
        about("Longest head of a request, all headers together.", unit="bytes"),
    ] = 16_384
    request_seconds: Annotated[
        float, Meta(gt=0, le=3600), about("Time in which a request must have come whole.", unit="seconds")
    ] = 30.0
    seconds_per_megabyte: Annotated[
        float, Meta(ge=0, le=3600), about("What each MB of a body adds to `request_seconds`.", unit="seconds")
    ] = 1.0
    idle_seconds: Annotated[
        float, Meta(gt=0, le=3600), about("A connection without a request is closed then.", unit="seconds")
    ] = 75.0
    socket_seconds: Annotated[
        float, Meta(gt=0, le=3600), about("A WebSocket takes no more requests then.", unit="seconds")
    ] = 3600.0
    unread_seconds: Annotated[
        float,
        Meta(gt=0, le=3600),
        about("A client that takes nothing of its answer is gone then.", unit="seconds"),
    ] = 60.0
    buffer_bytes: Annotated[
        int,
        Meta(ge=4096, le=100_000_000),
        about("Bytes of an answer held for a slow reader before its target is slowed down.", unit="bytes"),
    ] = 262_144
    reply_bytes: Annotated[
        int, Meta(ge=1024, le=1_000_000_000), about("Longest unstreamed answer of a target.", unit="bytes")
    ] = 64_000_000


class Config(Section, frozen=True, kw_only=True):
    """The whole file."""

    server: Annotated[ServerConfig, about("The process itself.")] = ServerConfig()
    engine: Annotated[EngineConfig, about("The embedded engine.")] = EngineConfig()
    limits: Annotated[LimitsConfig, about("What one request may cost.")] = LimitsConfig()
    images: Annotated[ImagesConfig, about("Images in requests.")] = ImagesConfig()
    store: Annotated[StoreConfig, about("What is kept of requests and answers.")] = StoreConfig()
    files: Annotated[FilesConfig, about("Files of clients.")] = FilesConfig()
    batches: Annotated[BatchesConfig, about("Many requests at once.")] = BatchesConfig()
    worker: Annotated[WorkerConfig, about("Queued work.")] = WorkerConfig()
    limiter: Annotated[LimiterConfig, about("Where rate limits are counted.")] = LimiterConfig()
    accounts: Annotated[AccountsConfig, about("People, and how they come in.")] = AccountsConfig()
    mail: Annotated[MailConfig, about("How mail leaves.")] = MailConfig()
    webhooks: Annotated[WebhooksConfig, about("Calls to customers' addresses.")] = WebhooksConfig()
    targets: Annotated[dict[str, TargetConfig], about("Upstream servers by name.")] = field(
        default_factory=dict
    )
    models: Annotated[dict[str, ModelConfig], about("Public models by name.")] = field(default_factory=dict)
    windows: Annotated[dict[str, WindowConfig], about("Completion windows by name.")] = field(
        default_factory=dict
    )
    presets: Annotated[dict[str, dict[str, Any]], about("Presets of your own by name.")] = field(
        default_factory=dict
    )
    hosts: Annotated[
        dict[str, Annotated[str, Meta(min_length=1)]], about("Host names that have a preset of their own.")
    ] = field(default_factory=dict)
