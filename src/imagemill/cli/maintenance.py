"""``imagemill health`` and ``imagemill migrate``."""

from typing import Annotated, Any

import typer

from imagemill.cli.client import ApiError, Client
from imagemill.cli.output import (
    DEGRADED,
    REFUSED,
    TOKEN,
    Create,
    DataDir,
    Json,
    Printer,
    Token,
    Url,
    load_settings,
    mark_level,
)


def health(
    generator: Annotated[
        bool,
        typer.Option("--generator", help="Check this machine's Celery workers of generator_queue instead."),
    ] = False,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Show the health of a server.

    The exit status is 0 if the server is healthy, 3 if it is degraded, so that jobs wait, and 1 if a part of
    it does not work.
    """
    out = Printer(as_json)
    if generator:
        _check_generators(out)
        return
    with out.reporting(), Client(url, token) as client:
        try:
            report = client.get("/health")
        except ApiError as error:
            if "ok" not in error.body:
                raise
            report = error.body  # a 503 carries the report of what is wrong
        if as_json:
            out.json(report)
        else:
            _print_health(out, client.url, report)
    if not report.get("ok"):
        raise typer.Exit(REFUSED)
    raise typer.Exit(DEGRADED if report.get("status") == "degraded" else 0)


def _check_generators(out: Printer) -> None:
    from imagemill.cli.serve import ping_generators

    with out.reporting():
        names = ping_generators(load_settings())
        if out.as_json:
            out.json({"ok": True, "generators": names})
        for name in names:
            out.say(f"✓ {name} answers")


def migrate(create: Create = False, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Upgrade the database to this version's schema. Servers also do so when they start."""
    from imagemill.bootstrap.stores import upgrade_database
    from imagemill.cli.startup import friendly_errors, redacted_database_url, require_database
    from imagemill.db import migrate as migrations

    out = Printer(as_json)
    with out.reporting():
        settings = load_settings(data_dir=data_dir)
        require_database(settings, create=create)
        with friendly_errors(settings):
            before = upgrade_database(settings)
            after = migrations.current(settings.database)
        database = redacted_database_url(settings)
        if as_json:
            out.json({"database": database, "from": before, "to": after})
        elif before == after:
            out.say(f"{database} is already at revision {after}")
        else:
            start = f"revision {before}" if before else "an empty database"
            out.say(f"{database} upgraded from {start} to revision {after}")


def _print_health(out: Printer, url: str, report: dict[str, Any]) -> None:
    from rich.text import Text

    def print_line(name: str, value: str, level: str) -> None:
        out.say(Text.assemble(mark_level(level), f"{name:<10}", value))

    state = str(report.get("status", "ok" if report.get("ok") else "failing"))
    print_line("server", f"{url} is {state}", {"ok": "ok", "degraded": "warning"}.get(state, "error"))
    for problem in report.get("problems", ()):
        print_line("problem", problem, "warning")
    if report.get("simulated"):
        print_line("pictures", "are drawn by the simulator, not by a model", "ok")
    for name in ("database", "blobs"):
        state = str(report.get(name, "unknown"))
        print_line(name, state, "ok" if state == "ok" else "error")
    if "nodes" not in report:
        print_line("nodes", "only shown with an API key that may read nodes: set IMAGEMILL_TOKEN", "ok")
        return
    depths = {name: count for name, count in (report.get("queue") or {}).items() if count}
    print_line("queue", ", ".join(f"{count} {name}" for name, count in depths.items()) or "empty", "ok")
    for node in report.get("nodes", ()):
        print_line("node", *_describe_node(node))


def _describe_node(node: dict[str, Any]) -> tuple[str, str]:
    """Return a node's line and its level: error for an unhealthy node, warning for a draining one."""
    slots = f"{node['slots']} slot{'s' if node['slots'] != 1 else ''}"
    state = node["trouble"] or ", ".join(node["resident"]) or "no model loaded"
    level = "ok"
    if node["draining"]:
        level = "warning"
        state += "; draining: it gets no new jobs"
    if not node["healthy"]:
        level = "error"
    return f"{node['name']} ({node['backend']}, {slots}): {state}", level
