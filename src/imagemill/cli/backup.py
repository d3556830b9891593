"""``imagemill backup``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagemill.cli.output import UNUSABLE, CliError, DataDir, Json, Printer, load_settings

if TYPE_CHECKING:
    from imagemill.config import Settings


def backup(
    folder: Annotated[Path, typer.Argument(help="A new folder for the copy.", show_default=False)],
    files_only: Annotated[
        bool, typer.Option("--files-only", help="Without the database, for one that pg_dump copies before.")
    ] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Copy the database, the pictures and the secrets while the server runs.

    To restore, stop the server and put the copied files into an empty data folder.
    """
    out = Printer(as_json)
    with out.reporting():
        settings = load_settings(data_dir=data_dir)
        if folder.exists():
            raise CliError(f"{folder} is there already; name a new folder", UNUSABLE)
        _check_database(settings, files_only=files_only)
        # It gets its name when it is whole, so that a copy that was interrupted is not taken for one.
        partial = folder.with_name(f"{folder.name}.partial")
        if partial.exists():
            raise CliError(f"{partial} is left of an interrupted backup; delete it and try again", UNUSABLE)
        copied = _copy(settings, partial, files_only=files_only)
        partial.rename(folder)
        if as_json:
            out.json({"folder": str(folder), **copied})
            return
        out.say(f"{folder} has {copied['files']} files, {copied['bytes'] / 2**20:.1f} MB")
        if settings.s3.bucket is not None:
            out.say(f"The pictures are in the bucket {settings.s3.bucket}, which is not copied.")


def _check_database(settings: "Settings", *, files_only: bool) -> None:
    from imagemill.cli.startup import require_database

    if settings.database.startswith("sqlite"):
        require_database(settings, create=False)
    elif not files_only:
        raise CliError(
            "the database is PostgreSQL, which pg_dump copies",
            UNUSABLE,
            details=("Copy it first, then the files: imagemill backup FOLDER --files-only",),
        )


def _copy(settings: "Settings", target: Path, *, files_only: bool) -> dict[str, Any]:
    """Copy the database before the files: a file is written before a row names it."""
    from sqlalchemy import make_url

    from imagemill.cli.startup import friendly_errors
    from imagemill.db.copies import copy_database, copy_files

    size = count = 0
    with friendly_errors(settings):
        target.mkdir(mode=0o700, parents=True)
        if not files_only:
            database = Path(make_url(settings.database).database or "").absolute()
            size, count = copy_database(database, target / "imagemill.db"), 1
        for name in ("blobs", "secrets"):
            copied = copy_files(settings.data_dir / name, target / name)
            size, count = size + copied.size, count + copied.count
    return {"database": not files_only, "files": count, "bytes": size}
