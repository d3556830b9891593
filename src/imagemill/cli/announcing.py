"""What a server says of itself: a banner on a terminal, a log line elsewhere."""

import logging
import sys
import time
from typing import TYPE_CHECKING

from imagemill.cli import BEGAN
from imagemill.cli.building import shown_database
from imagemill.cli.output import console

if TYPE_CHECKING:
    from imagemill.bootstrap import Mill

log = logging.getLogger("imagemill.cli")


def listening(mill: "Mill", url: str) -> None:
    """The server answers: where, and where to read on."""
    ready_s = time.perf_counter() - BEGAN
    if mill.settings.log_format == "json" or not sys.stderr.isatty():
        log.info(
            "listening on %s",
            url,
            extra={"url": url, "docs": f"{url}/docs", "ms": round(ready_s * 1000), "data": str(_data(mill))},
        )
        return
    rows = [
        ("API", f"[bold cyan]{url}[/]"),
        ("docs", f"[cyan]{url}/docs[/]"),
        ("data", f"{_data(mill)} [dim]({_database(mill)})[/]"),
    ]
    if mill.roles.worker:
        rows.append(("nodes", _nodes(mill)))
    _banner(f"ready in {ready_s:.1f} s", rows, "[dim]Ctrl+C ends it, running jobs finish first[/]")


def working(mill: "Mill", which: str) -> None:
    """A process without HTTP has begun."""
    ready_s = time.perf_counter() - BEGAN
    if mill.settings.log_format == "json" or not sys.stderr.isatty():
        queues = ",".join(sorted(mill.roles.queues)) if mill.roles.queues else "all"
        log.info(
            "%s started",
            which,
            extra={"ms": round(ready_s * 1000), "data": str(_data(mill))}
            | ({"queues": queues} if which == "worker" else {}),
        )
        return
    rows = [("data", f"{_data(mill)} [dim]({_database(mill)})[/]")]
    if which == "worker":
        rows.append(("queues", ", ".join(sorted(mill.roles.queues)) if mill.roles.queues else "all"))
        rows.append(("nodes", _nodes(mill)))
    _banner(f"{which} ready in {ready_s:.1f} s", rows, "[dim]Ctrl+C ends it[/]")


def stopping(mill: "Mill") -> None:
    running = mill.runner.active
    if running:
        log.info(
            "stopping: %d running %s may finish for %g s; a second signal stops at once",
            running,
            "job" if running == 1 else "jobs",
            mill.settings.shutdown_grace_s,
        )
    else:
        log.info("stopping")


def _banner(headline: str, rows: list[tuple[str, str]], footer: str) -> None:
    import imagemill

    screen = console(stderr=True)
    screen.print(f"\n  [bold]Imagemill[/] [dim]{imagemill.__version__}[/]  {headline}\n", markup=True)
    for name, value in rows:
        screen.print(f"  [dim]{name:<7}[/]{value}", markup=True, soft_wrap=True)
    screen.print(f"\n  {footer}\n", markup=True)


def _nodes(mill: "Mill") -> str:
    nodes = [node for backend in mill.backends.values() for node in backend.nodes()]
    if not nodes:
        return "none"
    kinds = sorted({node.backend for node in nodes})
    # Nodes of a process carry a suffix that tells processes apart; people know them without it.
    shown = ", ".join(node.name.partition(".")[0] for node in nodes[:4]) + (", ..." if len(nodes) > 4 else "")
    note = "simulated pictures: no ComfyUI address is set" if kinds == ["simulator"] else ", ".join(kinds)
    return f"{shown} [dim]({note})[/]"


def _data(mill: "Mill") -> object:
    return mill.settings.data_dir.absolute()


def _database(mill: "Mill") -> str:
    return "SQLite" if mill.settings.database_url is None else shown_database(mill.settings)
