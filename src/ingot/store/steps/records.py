"""Step 3: what was answered and what it cost. Stored responses, the ledger with its balances, idempotency, usage by hour.

Money is in integers of 1e-12 USD. A ledger row is never changed: a correction is a row of its own. `balances`,
`budget_spend` and `usage_hours` can be derived again from the ledger; they are there so that no read scans it.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    insert,
)
from sqlalchemy import (
    text as sql,
)

from ingot.store.steps.kinds import Serial, ident, instant, number, text
from ingot.store.steps.organizations import DEFAULT_ORG

_KEPT = "expires_at IS NOT NULL"


def define(tables: MetaData) -> None:
    """The tables of this step."""
    _define_responses(tables)
    _define_ledger(tables)
    _define_spending(tables)
    _define_gifts(tables)
    _define_retries(tables)


def _define_responses(tables: MetaData) -> None:
    Table(
        "responses",
        tables,
        ident(),  # ours, in the order of time
        text("public_id"),  # as the client saw it
        text("org_id"),
        text("key_id"),
        text("surface"),
        text("model"),
        text("target"),
        Column("status", Integer, nullable=False),  # the HTTP status
        text("state"),  # completed, failed, cancelled
        Column("error", Text),
        number("streamed"),
        text("fidelity"),
        text("window"),
        instant("created_at"),
        instant("finished_at"),
        Column("first_token_us", BigInteger),
        number("input_tokens"),
        number("cached_tokens"),
        number("output_tokens"),
        number("reasoning_tokens"),
        number("amount"),
        number("kept", "1"),  # 1: content was kept
        Column("metadata", Text),  # a JSON object of strings
        Column("request_id", Text),
        Column("expires_at", BigInteger),  # when what is kept of it goes; null: nothing is kept
        Column("request", LargeBinary),  # content stands last: whoever reads the rest never pages through it
        Column("answer", LargeBinary),
        # With the columns that lists are filtered by, so that a row that does not fit is never fetched.
        # One index for every list: what lists filter by stands in it, and time-ordered ids are appended to it.
        Index("responses_by_org", "org_id", "created_at", "id", "surface", "model", "key_id", "expires_at"),
        Index("responses_by_public_id", "org_id", "public_id", "id"),
        Index("responses_due", "expires_at", sqlite_where=sql(_KEPT), postgresql_where=sql(_KEPT)),
    )
    Table(
        "response_metadata",  # one row for each pair, so that lists can be filtered by it
        tables,
        Column("org_id", Text, primary_key=True),
        Column("name", Text, primary_key=True),
        Column("value", Text, primary_key=True),
        Column("response_id", Text, primary_key=True),
        Index("response_metadata_by_response", "response_id"),
        sqlite_with_rowid=False,
    )


def _define_ledger(tables: MetaData) -> None:
    Table(
        "ledger",
        tables,
        Column("seq", Serial, primary_key=True, autoincrement=True),
        Column("billable_id", Text, nullable=False, unique=True),
        text("org_id"),
        Column("key_id", Text),
        Column(
            "kind",
            Text,
            CheckConstraint(
                "kind IN ('inference', 'topup', 'promo', 'subscription', 'monthly', 'refund', 'correction', 'shortfall')"
            ),
            nullable=False,
        ),
        Column("amount", BigInteger, nullable=False),  # below zero: spent
        instant("at"),
        Column("model", Text),
        Column("window", Text),
        number("input_tokens"),
        number("cached_tokens"),
        number("cache_write_tokens"),
        number("output_tokens"),
        number("reasoning_tokens"),
        Column("price", Text),  # the price it was reckoned with, as JSON
        number("estimated"),
        Column("refers_to", Text),  # the billable id that a refund or correction is about
        Column("note", Text),
        Index("ledger_by_org", "org_id", "at"),
        Index(
            "ledger_by_reference",
            "refers_to",
            sqlite_where=sql("refers_to IS NOT NULL"),
            postgresql_where=sql("refers_to IS NOT NULL"),
        ),
    )


def _define_spending(tables: MetaData) -> None:
    Table(
        "balances",
        tables,
        Column("org_id", Text, ForeignKey("organizations.id"), primary_key=True),
        number("balance"),  # the sum of the ledger
        number("held"),  # of it, what is reserved by `holds`
        number("budgets"),  # how many budgets are in force, so that who has none pays nothing for them
    )
    Table(
        "holds",  # what processes have reserved of balances and budgets; void once its time is over
        tables,
        ident(),
        text("owner"),
        Column("org_id", Text, nullable=False),
        Column("budget_id", Text),  # null: of the balance
        number("period_start"),
        number("amount"),
        instant("until"),
        Index("holds_by_org", "org_id"),
    )
    Table(
        "budgets",
        tables,
        ident(),
        Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
        Column("key_id", Text),  # null: the whole organization
        Column("period", Text, CheckConstraint("period IN ('month', 'total')"), nullable=False),
        Column("cap", BigInteger, nullable=False),
        instant("created_at"),
        Column("ended_at", BigInteger),
        Index("budgets_by_org", "org_id"),
    )
    Table(
        "budget_spend",
        tables,
        Column("budget_id", Text, ForeignKey("budgets.id"), primary_key=True),
        Column("period_start", BigInteger, primary_key=True),
        number("spent"),
        number("held"),  # what is reserved by `holds` beside it
    )


def _define_gifts(tables: MetaData) -> None:
    Table(
        "promo_codes",
        tables,
        ident("code"),
        Column("amount", BigInteger, nullable=False),
        Column("expires_at", BigInteger),
        Column("most_uses", Integer),
        number("uses"),
        instant("created_at"),
        Column("ended_at", BigInteger),
    )
    Table(
        "promo_uses",
        tables,
        Column("code", Text, ForeignKey("promo_codes.code"), primary_key=True),
        Column("org_id", Text, ForeignKey("organizations.id"), primary_key=True),
        instant("at"),
    )
    Table(
        "subscriptions",
        tables,
        ident(),
        Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
        Column("plan_id", Text, ForeignKey("plans.id"), nullable=False),
        instant("started_at"),
        instant("period_start"),
        instant("period_end"),
        Column("cancelled_at", BigInteger),
        Column("ended_at", BigInteger),
        Index("subscriptions_by_org", "org_id"),
    )
    Table(
        "usage_hours",
        tables,
        Column("org_id", Text, primary_key=True),
        Column("hour", BigInteger, primary_key=True),  # hours since the epoch
        # In this order the sums over keys need no sorting.
        Column("model", Text, primary_key=True),
        Column("window", Text, primary_key=True),
        Column("key_id", Text, primary_key=True),
        number("requests"),
        number("input_tokens"),
        number("cached_tokens"),
        number("output_tokens"),
        number("reasoning_tokens"),
        number("amount"),  # spent, above zero
        sqlite_with_rowid=False,  # a range of hours is one run of pages
    )


def _define_retries(tables: MetaData) -> None:
    Table(
        "limiter_levels",  # how full the limits of a single process are, for its next start
        tables,
        ident("partition"),
        number("requests"),
        number("tokens"),
        instant("at"),
    )
    Table(
        "idempotency",
        tables,
        Column("org_id", Text, primary_key=True),
        Column("key_id", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("fingerprint", LargeBinary, nullable=False),
        text("path"),
        text("response_id"),
        Column("state", Text, CheckConstraint("state IN ('running', 'done', 'released')"), nullable=False),
        number("epoch", "1"),
        text("owner"),
        instant("lease_until"),
        instant("created_at"),
        Column("expires_at", BigInteger),
        Column("status", Integer),
        Column("content_type", Text),
        Column("answer", LargeBinary),
        UniqueConstraint("response_id", name="idempotency_by_response"),
        Index("idempotency_by_expiry", "expires_at"),
    )


def apply(conn: Connection, now: int) -> None:  # noqa: ARG001  # the steps' common shape
    """Creates the tables and the first balance."""
    tables = MetaData()
    define(tables)
    # What this step refers to stands already; its own tables alone are created.
    for name, columns in (("organizations", ("id",)), ("plans", ("id",))):
        Table(name, tables, *(Column(each, Text, primary_key=True) for each in columns))
    own = [table for name, table in tables.tables.items() if name not in ("organizations", "plans")]
    tables.create_all(conn, tables=own, checkfirst=False)
    conn.execute(insert(tables.tables["balances"]), {"org_id": DEFAULT_ORG})
