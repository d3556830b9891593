"""The time from which the retention of an artifact counts, once it was renewed"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("artifacts", sa.Column("kept_from", sa.BigInteger()))


def downgrade() -> None:
    op.drop_column("artifacts", "kept_from")
