"""The rated artifacts of all owners in their order"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_RATED = "rating IS NOT NULL"


def upgrade() -> None:
    # Reads all artifacts once, and keeps writes waiting meanwhile: 2 s of CPU for a million.
    op.create_index(
        "ix_artifacts_rated",
        "artifacts",
        ["rating", "created_at", "id"],
        sqlite_where=sa.text(_RATED),
        postgresql_where=sa.text(_RATED),
    )


def downgrade() -> None:
    op.drop_index("ix_artifacts_rated", table_name="artifacts")
