"""Completion of names a server knows. It never complains: a shell that waits for a key shows no errors."""

import typer

_PATIENCE_S = 1.0
"""Somebody has pressed a key and waits."""


def node_names(ctx: typer.Context, incomplete: str) -> list[str]:
    return _names(ctx, "/api/v1/nodes", incomplete)


def workflow_names(ctx: typer.Context, incomplete: str) -> list[str]:
    return _names(ctx, "/api/v1/workflows", incomplete)


def _names(ctx: typer.Context, path: str, incomplete: str) -> list[str]:
    from imagemill.cli.client import Client
    from imagemill.cli.output import TOKEN, CliError

    try:
        with Client(ctx.params.get("url"), ctx.params.get("token") or TOKEN) as client:
            items = client.call("GET", path, timeout=_PATIENCE_S)["items"]
    except (CliError, KeyError, TypeError):
        return []
    return [item["name"] for item in items if item["name"].startswith(incomplete)]
