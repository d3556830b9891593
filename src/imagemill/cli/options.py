"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="IMAGEMILL_URL",
        help="The server. Default: this machine, at the port of the settings.",
    ),
]
Token = Annotated[
    str,
    typer.Option("--token", envvar="IMAGEMILL_TOKEN", help="API key; any will do until keys are made."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Host = Annotated[
    str | None, typer.Option("--host", help="Address to listen on; beyond loopback only with keys.")
]
Port = Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Port; 0: any free one.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of database, pictures and secrets.")]
LogLevel = Annotated[str | None, typer.Option("--log-level", help="debug, info, warning or error.")]
Reload = Annotated[bool, typer.Option("--reload", help="Start again when our code changes; for development.")]

TOKEN = "local"  # noqa: S105 - what a server that knows no keys is told
