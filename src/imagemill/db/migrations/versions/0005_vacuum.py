"""PostgreSQL cleans up after jobs and events earlier"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SHARE = 0.05
"""Share of dead rows at which a table is vacuumed; PostgreSQL's default is 0.2. A claim has to skip the dead
entries that earlier claims left in the index of open jobs, and there are more the more jobs have finished.
Below 0.02, vacuum does not clean indexes."""
NAME = "autovacuum_vacuum_scale_factor"


def upgrade() -> None:
    # Blocks other schema changes and vacuum, but neither reads nor writes.
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE jobs SET ({NAME} = {SHARE})")
        op.execute(f"ALTER TABLE events SET ({NAME} = {SHARE})")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE jobs RESET ({NAME})")
        op.execute(f"ALTER TABLE events RESET ({NAME})")
