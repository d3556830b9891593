"""The nodes that a worker process has of its own, for the health of the installation"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("processes", sa.Column("nodes", sa.Text))


def downgrade() -> None:
    with op.batch_alter_table("processes") as table:
        table.drop_column("nodes")
