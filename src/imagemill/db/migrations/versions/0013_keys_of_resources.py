"""One key for a version of Civitai's, whichever of its files or words for a checkpoint its AIR has"""

import json
import re
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_AIR = re.compile(
    r"(?P<head>(?:urn:air:)?(?:[^:]+:)?)(?P<type>[^:]+):(?P<model>civitai:[^@]+@[0-9]{1,19})"
    r"(?:\+[0-9]+)?(?P<format>\.[a-z0-9_-]+)?"
)
_CHECKPOINTS = ("model", "unet", "diffusionmodel")
_USUAL = (".safetensors", ".safetensor")


def upgrade() -> None:
    """Set the keys. Rows that become one are united: newer fields replace older ones."""
    conn = op.get_bind()
    rows = conn.execute(
        sa.text("SELECT key, body FROM resources WHERE short_version IS NOT NULL ORDER BY updated_at, key")
    ).all()
    versions: dict[str, list[tuple[str, str]]] = {}
    for key, body in rows:
        versions.setdefault(_key(key), []).append((key, body))
    for key, found in versions.items():
        if [old for old, _ in found] != [key]:
            _unite(conn, key, found)


def downgrade() -> None:
    """Keep the keys: the former code reads them as they are."""


def _key(key: str) -> str:
    match = _AIR.fullmatch(key)
    if match is None:
        return key
    kind = "checkpoint" if match["type"] in _CHECKPOINTS else match["type"]
    suffix = match["format"] or ""
    return f"{match['head']}{kind}:{match['model']}{'' if suffix in _USUAL else suffix}"


def _unite(conn: sa.Connection, key: str, rows: list[tuple[str, str]]) -> None:
    body: dict[str, Any] = {}
    for _, text in rows:
        body |= json.loads(text)
    kept = rows[-1][0]
    for old, _ in rows[:-1]:
        conn.execute(sa.text("DELETE FROM resources WHERE key = :old"), {"old": old})
    conn.execute(
        sa.text("UPDATE resources SET key = :key, body = :body WHERE key = :old"),
        {"key": key, "body": json.dumps(body, ensure_ascii=False, separators=(",", ":")), "old": kept},
    )
