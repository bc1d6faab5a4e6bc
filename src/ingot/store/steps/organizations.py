"""Step 2: who is who. Organizations, plans, users and their ways in, invitations, the audit log; keys get an owner.

An organization pays and is limited; a user signs in; a membership joins the two with a role. The organization
`org_default` is there from the start, belongs to the operator and has no limits, so that one person needs no account.
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

DEFAULT_ORG = "org_default"

PLAN_ROWS = (
    # rpm, tpm, concurrency and keys: None is no limit. Factors in parts per million, credits in 1e-12 USD.
    {"id": "plan_operator", "name": "operator", "keys": None, "rpm": None, "tpm": None, "concurrency": None, "weight": 4},
    {"id": "plan_free", "name": "free", "keys": 3, "rpm": 5, "tpm": 40_000, "concurrency": 4, "weight": 1},
    {"id": "plan_pro", "name": "pro", "keys": 20, "rpm": 600, "tpm": 2_000_000, "concurrency": 64, "weight": 4},
)  # fmt: skip


def define(tables: MetaData) -> None:
    """The tables of this step."""
    _define_organizations(tables)
    _define_users(tables)
    _define_ways_in(tables)
    _define_logs(tables)


def _define_organizations(tables: MetaData) -> None:
    Table(
        "plans",
        tables,
        ident(),
        Column("name", Text, nullable=False, unique=True),
        Column("rpm", BigInteger),
        Column("tpm", BigInteger),
        Column("concurrency", BigInteger),
        Column("keys", Integer),
        Column("models", Text),  # a JSON array of model names; null: all
        number("price_factor", "1000000"),  # parts per million of the deployment's price
        number("weight", "1"),  # share of capacity between organizations that wait
        number("monthly_credits"),
        number("monthly_price"),
        instant("created_at"),
        Column("archived_at", BigInteger),
    )
    Table(
        "organizations",
        tables,
        ident(),
        text("name"),
        Column("plan_id", Text, ForeignKey("plans.id"), nullable=False),
        number("prepaid"),  # 1: requests need credit
        number("keep_content", "1"),  # 0: prompts and answers stay out of the store
        Column("retention_days", Integer),  # null: the server's
        instant("created_at"),
        Column("deleted_at", BigInteger),
    )
    Table(
        "slots",  # the places that a plan's number of keys allows: the database enforces it, not a count
        tables,
        Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
        Column("slot", Integer, nullable=False),
        Column("key_id", Text, nullable=False),
        UniqueConstraint("org_id", "slot", name="slots_once"),
        UniqueConstraint("key_id", name="slots_by_key"),
    )


def _define_users(tables: MetaData) -> None:
    Table(
        "users",
        tables,
        ident(),
        Column("email", Text, nullable=False, unique=True),  # lower case
        Column("password", Text),  # an argon2id hash; null: none set yet
        number("operator"),
        instant("created_at"),
        Column("verified_at", BigInteger),
        Column("last_login_at", BigInteger),
        Column("disabled_at", BigInteger),
    )
    Table(
        "members",
        tables,
        Column("org_id", Text, ForeignKey("organizations.id"), primary_key=True),
        Column("user_id", Text, ForeignKey("users.id"), primary_key=True),
        Column(
            "role", Text, CheckConstraint("role IN ('owner', 'admin', 'member', 'viewer')"), nullable=False
        ),
        instant("created_at"),
        Index("members_by_user", "user_id"),
    )
    Table(
        "invitations",
        tables,
        ident(),
        Column("org_id", Text, ForeignKey("organizations.id"), nullable=False),
        text("email"),
        text("role"),
        Column("digest", LargeBinary, nullable=False, unique=True),
        text("invited_by"),
        instant("created_at"),
        instant("expires_at"),
        Column("accepted_at", BigInteger),
        Column("revoked_at", BigInteger),
        Index("invitations_by_org", "org_id"),
    )


def _define_ways_in(tables: MetaData) -> None:
    Table(
        "sessions",
        tables,
        Column("digest", LargeBinary, primary_key=True),
        Column("user_id", Text, ForeignKey("users.id"), nullable=False),
        instant("created_at"),
        instant("seen_at"),
        instant("expires_at"),
        Index("sessions_by_user", "user_id"),
    )
    Table(
        "links",  # what mail carries: single use, for one purpose
        tables,
        Column("digest", LargeBinary, primary_key=True),
        Column("user_id", Text, ForeignKey("users.id"), nullable=False),
        Column("purpose", Text, CheckConstraint("purpose IN ('verify', 'reset')"), nullable=False),
        instant("created_at"),
        instant("expires_at"),
        Column("used_at", BigInteger),
        Index("links_by_user", "user_id", "purpose", "created_at"),
    )


def _define_logs(tables: MetaData) -> None:
    Table(
        "audit",
        tables,
        Column("seq", Serial, primary_key=True, autoincrement=True),
        Column("org_id", Text),
        text("actor"),  # a user's, a key's id, or `cli`
        text("action"),  # as key.create
        text("subject"),
        text("detail"),  # a JSON object; never a secret
        instant("at"),
        Index("audit_by_org", "org_id", "seq"),
    )
    Table(
        "outbox",  # what has to leave this system: mail now, events later
        tables,
        ident(),
        Column("org_id", Text),
        text("kind"),
        text("address"),
        text("payload"),  # a JSON object
        instant("created_at"),
        instant("due_at"),
        number("attempts"),
        Column("owner", Text),
        Column("lease_until", BigInteger),
        Column("done_at", BigInteger),
        Column("error", Text),
        Index(
            "outbox_due",
            "due_at",
            sqlite_where=sql("done_at IS NULL"),
            postgresql_where=sql("done_at IS NULL"),
        ),
    )


KEY_COLUMNS = (
    "org_id TEXT NOT NULL DEFAULT 'org_default'",
    "user_id TEXT",
    "scope TEXT NOT NULL DEFAULT 'inference'",  # or `admin`: may call the admin API
    "models TEXT",  # a JSON array; null: what the plan allows
    "rpm BIGINT",
    "tpm BIGINT",
    "replaced_by TEXT",
)


def apply(conn: Connection, now: int) -> None:
    """Creates the tables, what ships with them, and the new columns of keys."""
    tables = MetaData()
    define(tables)
    tables.create_all(conn, checkfirst=False)
    for column in KEY_COLUMNS:
        conn.execute(sql(f"ALTER TABLE api_keys ADD COLUMN {column}"))
    conn.execute(sql("CREATE INDEX api_keys_by_org ON api_keys (org_id)"))
    plans = tables.tables["plans"]
    conn.execute(insert(plans), [row | {"created_at": now} for row in PLAN_ROWS])
    conn.execute(
        insert(tables.tables["organizations"]),
        {"id": DEFAULT_ORG, "name": "Operator", "plan_id": "plan_operator", "created_at": now},
    )
