"""Lists of jobs and artifacts"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_OPEN = "status IN ('waiting', 'queued', 'running')"
_IDLE = "status IN ('waiting', 'queued')"
_FAILED = "status = 'failed'"
_UNSUCCESSFUL = "status IN ('failed', 'canceled', 'expired')"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("error_code", sa.String(length=32)))
    if op.get_bind().dialect.name == "postgresql":
        op.execute("UPDATE jobs SET error_code = error::json->>'code' WHERE error IS NOT NULL")
    else:
        op.execute("UPDATE jobs SET error_code = error->>'code' WHERE error IS NOT NULL")
    op.drop_index("ix_jobs_open", table_name="jobs")
    _create_partial("ix_jobs_open", "jobs", ["owner", "id"], _OPEN)
    op.drop_index("ix_jobs_expiring", table_name="jobs")
    _create_partial("ix_jobs_expiring", "jobs", ["expires_at", "owner", "status", "recipe", "lane"], _IDLE)
    _create_partial("ix_jobs_failed", "jobs", ["error_code", "id", "owner"], _FAILED)
    _create_partial("ix_jobs_unsuccessful", "jobs", ["status", "id", "owner"], _UNSUCCESSFUL)
    op.add_column("artifacts", sa.Column("owner", sa.String(length=64)))
    op.add_column("artifacts", sa.Column("rating", sa.SmallInteger()))
    op.add_column("artifacts", sa.Column("deleted_at", sa.BigInteger()))
    op.execute("UPDATE artifacts SET owner = (SELECT owner FROM jobs WHERE jobs.id = artifacts.job_id)")
    op.create_index("ix_artifacts_owner", "artifacts", ["owner", "created_at", "id"])
    _create_partial(
        "ix_artifacts_rating", "artifacts", ["owner", "rating", "created_at", "id"], "rating IS NOT NULL"
    )
    op.create_table(
        "ended_jobs",
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("recipe", sa.String(length=64), nullable=False),
        sa.Column("lane", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("node", sa.String(length=128), nullable=False),
        sa.Column("error_code", sa.String(length=32), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("last_job", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("owner", "status", "recipe", "lane", "node", "error_code"),
    )


def _create_partial(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)


def downgrade() -> None:
    op.drop_table("ended_jobs")
    op.drop_index("ix_artifacts_rating", table_name="artifacts")
    op.drop_index("ix_artifacts_owner", table_name="artifacts")
    for name in ("deleted_at", "rating", "owner"):
        op.drop_column("artifacts", name)
    for name in ("ix_jobs_unsuccessful", "ix_jobs_failed", "ix_jobs_expiring", "ix_jobs_open"):
        op.drop_index(name, table_name="jobs")
    _create_partial("ix_jobs_expiring", "jobs", ["expires_at"], _IDLE)
    _create_partial("ix_jobs_open", "jobs", ["owner"], _OPEN)
    op.drop_column("jobs", "error_code")
