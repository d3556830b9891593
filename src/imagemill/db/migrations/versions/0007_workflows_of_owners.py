"""Private workflows of owners beside the shared ones"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # An empty owner means shared: the existing workflows, and those added by older code without this column.
    owner = sa.Column("owner", sa.String(length=64), server_default="", nullable=False)
    _change_key(["owner", "name", "version"], owner)


def downgrade() -> None:
    op.execute("DELETE FROM workflows WHERE owner <> ''")
    _change_key(["name", "version"], None)


def _change_key(columns: list[str], added: "sa.Column[str] | None") -> None:
    """SQLite copies the table, as it cannot change a key in place."""
    named = {"pk": "pk_%(table_name)s"} if op.get_bind().dialect.name == "sqlite" else None
    with op.batch_alter_table("workflows", naming_convention=named) as table:
        table.drop_constraint("pk_workflows" if named else "workflows_pkey", type_="primary")
        if added is not None:
            table.add_column(added)
        else:
            table.drop_column("owner")
        table.create_primary_key("pk_workflows" if named else "workflows_pkey", columns)
