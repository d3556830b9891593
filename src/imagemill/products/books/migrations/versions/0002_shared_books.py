"""The link by which others may read a book"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("book_personalizations", sa.Column("share_key", sa.String(32)))
    op.add_column("book_personalizations", sa.Column("share_until", sa.BigInteger()))


def downgrade() -> None:
    op.drop_column("book_personalizations", "share_until")
    op.drop_column("book_personalizations", "share_key")
