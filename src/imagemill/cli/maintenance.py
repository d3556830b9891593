"""``imagemill health`` and ``imagemill migrate``."""

from typing import Annotated, Any

import typer

from imagemill.cli.output import REFUSED, TOKEN, DataDir, Json, Printer, Token, Url, load_settings


def health(
    generator: Annotated[
        bool, typer.Option("--generator", help="Ask this machine's workers of generator_queue instead.")
    ] = False,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Ask a server how it is. Exit status 0 when all is well."""
    from imagemill.cli.client import ApiError, Client

    out = Printer(as_json)
    if generator:
        _ask_generators(out)
        return
    with out.reporting(), Client(url, token) as client:
        try:
            report = client.get("/health")
        except ApiError as refusal:
            if "ok" not in refusal.body:
                raise
            report = refusal.body  # 503, with the report of what is wrong
        if as_json:
            out.json(report)
        else:
            _show_health(out, client.url, report)
    raise typer.Exit(0 if report.get("ok") else REFUSED)


def _ask_generators(out: Printer) -> None:
    from imagemill.cli.serve import ask_generators

    with out.reporting():
        names = ask_generators(load_settings())
        if out.as_json:
            out.json({"ok": True, "generators": names})
        for name in names:
            out.say(f"✓ {name} answers")


def migrate(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Bring the database to this version's schema. Servers do it themselves when they start."""
    from imagemill.cli.startup import friendly_errors, shown_database
    from imagemill.db import migrate as migrations

    out = Printer(as_json)
    with out.reporting():
        settings = load_settings(data_dir=data_dir)
        with friendly_errors(settings):
            before = migrations.upgrade(settings.database)
            after = migrations.current(settings.database)
        where = shown_database(settings)
        if as_json:
            out.json({"database": where, "from": before, "to": after})
        elif before == after:
            out.say(f"{where} is at revision {after} already")
        else:
            out.say(f"{where} went from {f'revision {before}' if before else 'empty'} to revision {after}")


def _show_health(out: Printer, url: str, report: dict[str, Any]) -> None:
    from rich.text import Text

    def line(name: str, value: str, good: bool) -> None:
        mark = ("✓ ", "green") if good else ("✗ ", "bold red")
        out.say(Text.assemble(mark, f"{name:<10}", value))

    line("server", url, bool(report.get("ok")))
    for name in ("database", "blobs"):
        state = str(report.get(name, "unknown"))
        line(name, state, state == "ok")
    if "nodes" not in report:
        line("more", "is told to whoever may see the nodes: IMAGEMILL_TOKEN", True)
        return
    depths = {name: count for name, count in (report.get("queue") or {}).items() if count}
    line("queue", ", ".join(f"{count} {name}" for name, count in depths.items()) or "empty", True)
    for node in report.get("nodes", ()):
        loaded = node["trouble"] or ", ".join(node["resident"]) or "nothing loaded"
        if node["draining"]:
            loaded += "; takes no more jobs"
        slots = f"{node['slots']} slot{'s' if node['slots'] != 1 else ''}"
        line("node", f"{node['name']} ({node['backend']}, {slots}): {loaded}", node["healthy"])
