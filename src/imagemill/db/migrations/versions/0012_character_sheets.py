"""Sheets of characters; pictures of characters, stories and chats apart"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_ACTIVE = "is_active AND deleted_at IS NULL"
_TEXTS = ("name", "gender", "species", "physical", "attire", "style", "description")
_BATCH = 500


def upgrade() -> None:
    op.create_table(
        "characters",
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("sheet", sa.Text(), nullable=False),
        sa.Column("from_request", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "id"),
    )
    op.add_column(
        "character_images",
        sa.Column("subject", sa.String(length=16), nullable=False, server_default="character"),
    )
    op.execute("UPDATE character_images SET subject = 'story' WHERE type = 'cover'")
    _index(["owner", "subject", "character_id"])
    _keep_sheets()


def downgrade() -> None:
    """Delete the pictures that belong to several subjects of one id, except the characters' own."""
    op.execute("DELETE FROM character_images WHERE subject = 'chat' OR type = 'scene'")
    op.execute("DELETE FROM character_images WHERE type = 'cover' AND subject = 'character'")
    _index(["owner", "character_id"])
    op.drop_column("character_images", "subject")
    op.drop_table("characters")


def _index(columns: list[str]) -> None:
    op.drop_index("ix_character_images_owner", "character_images")
    op.drop_index("ux_character_images_active", "character_images")
    op.create_index("ix_character_images_owner", "character_images", [*columns, "id"], unique=False)
    op.create_index(
        "ux_character_images_active",
        "character_images",
        [*columns, "type", "emotion"],
        unique=True,
        sqlite_where=sa.text(_ACTIVE),
        postgresql_where=sa.text(_ACTIVE),
    )


def _keep_sheets() -> None:
    """Store the sheet of each active avatar whose job is still there."""
    conn = op.get_bind()
    query = (
        "SELECT i.owner, i.character_id, i.created_at, j.input FROM character_images i"
        " JOIN jobs j ON j.id = i.job_id"
        " WHERE i.type = 'avatar' AND i.is_active AND i.deleted_at IS NULL"
    )
    insert = sa.text(
        "INSERT INTO characters (owner, id, sheet, from_request, created_at, updated_at)"
        " VALUES (:owner, :id, :sheet, :from_request, :at, :at)"
    )
    rows = conn.execute(sa.text(query)).all()
    for start in range(0, len(rows), _BATCH):
        found = [
            {"owner": owner, "id": id_, "sheet": json.dumps(sheet), "from_request": True, "at": at}
            for owner, id_, at, input_ in rows[start : start + _BATCH]
            if (sheet := _sheet(json.loads(input_)))
        ]
        if found:
            conn.execute(insert, found)


def _sheet(input_: dict[str, Any]) -> dict[str, Any]:
    """Return the sheet as a request has it: without the files of its LoRAs."""
    given = input_.get("character") or {}
    sheet = {name: given[name] for name in _TEXTS if given.get(name)}
    if loras := given.get("loras"):
        names = ("air", "name", "strength")
        sheet["loras"] = [{name: lora[name] for name in names if name in lora} for lora in loras]
    return sheet
