"""The tables as they are now, for the statements; how they came to be is in `migrations`.

Each step defines what it added, and columns that came later are appended here.
Instants are whole microseconds since the epoch, UTC, on every database. Knows no statement.
"""

from datetime import UTC, datetime

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text, text

from ingot.store.steps import batches as batches_step
from ingot.store.steps import conversations as conversations_step
from ingot.store.steps import files as files_step
from ingot.store.steps import keys as keys_step
from ingot.store.steps import organizations as organizations_step
from ingot.store.steps import queue as queue_step
from ingot.store.steps import records as records_step
from ingot.store.steps import references as references_step
from ingot.store.steps import suspects as suspects_step
from ingot.store.steps import translations as translations_step
from ingot.store.steps import webhooks as webhooks_step
from ingot.store.steps import windows as windows_step

MICROSECOND = 1_000_000


def micros(seconds: float) -> int:
    """An instant of the clock as the store keeps it."""
    return round(seconds * MICROSECOND)


def seconds(instant: int) -> int:
    """A stored instant in whole seconds, as APIs show it."""
    return instant // MICROSECOND


def seconds_or_none(instant: int | None) -> int | None:
    """The same of one that may not have come."""
    return None if instant is None else seconds(instant)


def stamp(at: int) -> str:
    """Whole seconds since the epoch as RFC 3339 has them."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(instant: int) -> str:
    """A stored instant for people, to the minute."""
    return datetime.fromtimestamp(seconds(instant), UTC).strftime("%Y-%m-%d %H:%M UTC")


metadata = MetaData()

schema_migrations = Table(
    "schema_migrations",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("applied_at", BigInteger, nullable=False),
)

keys_step.define(metadata)
organizations_step.define(metadata)
records_step.define(metadata)
translations_step.define(metadata)
conversations_step.define(metadata)
files_step.define(metadata)
queue_step.define(metadata)
references_step.define(metadata)
batches_step.define(metadata)
windows_step.define(metadata)
webhooks_step.define(metadata)

DEFAULT_ORG = organizations_step.DEFAULT_ORG
"""The operator's own organization; it is there from the start."""

peppers = metadata.tables["peppers"]
api_keys = metadata.tables["api_keys"]
for _column in (
    Column("org_id", Text, nullable=False, server_default=organizations_step.DEFAULT_ORG),
    Column("user_id", Text),
    Column("scope", Text, nullable=False, server_default="inference"),
    Column("models", Text),
    Column("rpm", BigInteger),
    Column("tpm", BigInteger),
    Column("replaced_by", Text),
):
    api_keys.append_column(_column)
Index("api_keys_by_org", api_keys.c.org_id)

plans = metadata.tables["plans"]
organizations = metadata.tables["organizations"]
slots = metadata.tables["slots"]
users = metadata.tables["users"]
members = metadata.tables["members"]
invitations = metadata.tables["invitations"]
sessions = metadata.tables["sessions"]
links = metadata.tables["links"]
audit = metadata.tables["audit"]
outbox = metadata.tables["outbox"]

responses = metadata.tables["responses"]
response_metadata = metadata.tables["response_metadata"]
response_losses = metadata.tables["response_losses"]
response_items = metadata.tables["response_items"]
conversations = metadata.tables["conversations"]
conversation_items = metadata.tables["conversation_items"]
conversation_items.append_column(Column("org_id", Text, nullable=False, server_default=""))
Index(
    "conversation_items_by_org",
    conversation_items.c.org_id,
    conversation_items.c.id,
    conversation_items.c.conversation_id,
)
files = metadata.tables["files"]
uploads = metadata.tables["uploads"]
upload_parts = metadata.tables["upload_parts"]
ledger = metadata.tables["ledger"]
balances = metadata.tables["balances"]
holds = metadata.tables["holds"]
budgets = metadata.tables["budgets"]
budget_spend = metadata.tables["budget_spend"]
promo_codes = metadata.tables["promo_codes"]
promo_uses = metadata.tables["promo_uses"]
subscriptions = metadata.tables["subscriptions"]
usage_hours = metadata.tables["usage_hours"]
limiter_levels = metadata.tables["limiter_levels"]
idempotency = metadata.tables["idempotency"]

items = metadata.tables["items"]
jobs = metadata.tables["jobs"]
job_events = metadata.tables["job_events"]
tenant_clocks = metadata.tables["tenant_clocks"]
jobs.append_column(Column("target_at", BigInteger, nullable=False, server_default="0"))
jobs.append_column(Column("prefix", Text, nullable=False, server_default=""))
jobs.indexes -= {each for each in jobs.indexes if each.name == "jobs_by_org"}
for _name, _columns, _of in (
    *((name, columns, windows_step.QUEUED) for name, columns in windows_step.INDEXES.items()),
    ("jobs_suspected", suspects_step.COLUMNS, suspects_step.SUSPECTS),
):
    _where = text(_of)
    Index(_name, *(jobs.c[each] for each in _columns), sqlite_where=_where, postgresql_where=_where)
response_waits = metadata.tables["response_waits"]

batches = metadata.tables["batches"]
batch_lines = metadata.tables["batch_lines"]
window_slots = metadata.tables["window_slots"]
throughput = metadata.tables["throughput"]
bookings = metadata.tables["bookings"]
webhook_endpoints = metadata.tables["webhook_endpoints"]
webhook_secrets = metadata.tables["webhook_secrets"]
webhook_orders = metadata.tables["webhook_orders"]
webhook_places = metadata.tables["webhook_places"]
webhook_events = metadata.tables["webhook_events"]
webhook_deliveries = metadata.tables["webhook_deliveries"]
webhook_tries = metadata.tables["webhook_tries"]
