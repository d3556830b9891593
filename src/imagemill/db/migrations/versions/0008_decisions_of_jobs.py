"""An index to find decisions by job"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_decisions_job", "decisions", ["job_id"])


def downgrade() -> None:
    op.drop_index("ix_decisions_job", table_name="decisions")
