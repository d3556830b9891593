"""Requests and answers of webhook attempts; the simulator's faults and speed"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("request_body", sa.Text()))
    op.add_column("attempts", sa.Column("exchange", sa.Text()))
    op.create_table(
        "simulator_state",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def downgrade() -> None:
    op.drop_table("simulator_state")
    op.drop_column("attempts", "exchange")
    op.drop_column("attempts", "request_body")
