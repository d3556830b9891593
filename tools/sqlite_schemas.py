"""Write the schemas of new SQLite files, of the core and of each product: run it after adding a migration.

python tools/sqlite_schemas.py
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from imagemill.db import migrate, new_file, tables
from imagemill.products.base import installed_products

CORE = Path(migrate.__file__).parent / "migrations" / new_file.NAME


def schemas() -> Iterator[tuple[Path, str]]:
    """Yield each schema's file and what it should hold, by the migrations."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "new.db")
        migrate.migrate_all(f"sqlite:///{file}")
        before = frozenset(new_file.objects(file))
        yield CORE, new_file.schema_text(file, tables.REVISION)
        for product in installed_products():
            if product.migrations is None:
                continue
            name = f"alembic_version_{product.name}"
            migrate.migrate_all(f"sqlite:///{file}", version_table=name, versions=product.migrations)
            revision = migrate.current(f"sqlite:///{file}", name)
            assert revision is not None
            yield product.migrations.parent / new_file.NAME, new_file.schema_text(file, revision, before)
            before = frozenset(new_file.objects(file))


if __name__ == "__main__":
    for path, text in schemas():
        path.write_text(text, encoding="utf-8")
