"""``imagemill make``: a picture from a prompt, on the server that runs or on one that it starts itself."""

import re
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from imagemill.cli.client import ApiError, Client, ServerUnreachable, quote_segment
from imagemill.cli.follow import EXIT_STATUS, JobDisplay, follow
from imagemill.cli.output import REFUSED, TOKEN, UNUSABLE, CliError, Json, Printer, Token, Url
from imagemill.cli.saved_files import extension, save_file

_SIZE = re.compile(r"(\d{2,4})x(\d{2,4})")
_SIMULATED = re.compile(r"sim-\d+")
_LONGEST_NAME = 48
_NODES_TIMEOUT_S = 3.0
"""Seconds that a server that was just started gets to read the models of its nodes; a dead node has none."""


def make(
    prompt: Annotated[list[str], typer.Argument(help="What the picture shows.", metavar="PROMPT")],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="A model's file name or AIR. Default: one that is there."),
    ] = None,
    negative: Annotated[str, typer.Option("--negative", help="What the picture must not show.")] = "",
    size: Annotated[
        str | None, typer.Option("--size", help="Such as 768x512. Default: what suits the model.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, max=150, help="Sampling steps.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Repeats a picture.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=16, help="Number of pictures.")] = 1,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A folder, or the file of a single picture.")
    ] = Path("pictures"),
    *,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Make a picture and save it. If no server runs on this machine, one is started for the time it takes."""
    out = Printer(as_json)
    with out.reporting():
        fields = {
            "prompt": " ".join(prompt),
            "negative_prompt": negative,
            "model": model,
            "steps": steps,
            "seed": seed,
            "count": count if count > 1 else None,
            **_sides(size),
        }
        body = {"recipe": "textToImage", "input": {k: v for k, v in fields.items() if v not in (None, "")}}
        with _server(out, url, token) as client:
            status = _run(out, client, body, output)
    raise typer.Exit(status)


def _run(out: Printer, client: Client, body: dict[str, Any], output: Path) -> int:
    """Submit, follow and save; return the exit status."""
    job = client.post("/api/v1/jobs", body)
    given = job["input"]
    model = given.get("model_path") or given["model"]
    size = f"{given.get('width', 512)} x {given.get('height', 512)}"
    out.say(f"  {model}, {size}, seed {given.get('seed', '-')}")
    display = JobDisplay(out, "rendering", show_events=False)
    last = display.show(follow(client, job["id"], on_break=display.report_break))
    job = client.get(f"/api/v1/jobs/{quote_segment(job['id'])}")
    if last.name != "Succeeded":
        error = job["error"] or {"message": f"the job was {last.name.lower()}"}
        details = (error["advice"],) if error.get("advice") else ()
        raise CliError(error["message"], REFUSED, details=details, body=job)
    paths = [save_file(client, each, path) for each, path in _places(job, output)]
    if out.as_json:
        out.json(job | {"files": [str(Path(path).absolute()) for path in paths]})
    for path in paths:
        out.say(f"  {Path(path).absolute()}")
    if _SIMULATED.match(job["node"] or ""):
        out.say(
            "  simulated, as no node is connected; connect one: imagemill nodes add NAME http://HOST:8188"
        )
    return EXIT_STATUS[last.name]


def _places(job: dict[str, Any], output: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    """Yield each artifact with its file; files of earlier runs are not overwritten."""
    artifacts = job["artifacts"]
    if output.suffix and len(artifacts) == 1 and not output.is_dir():
        yield artifacts[0], output
        return
    slug = (
        re.sub(r"[^\w]+", "-", job["input"].get("prompt", "").lower()).strip("-")[:_LONGEST_NAME].strip("-")
    )
    taken: set[Path] = set()
    for artifact in artifacts:
        stem = f"{slug or 'picture'}-{artifact['seed']}"
        path, number = output / f"{stem}.{extension(artifact)}", 1
        while path.exists() or path in taken:
            number += 1
            path = output / f"{stem}-{number}.{extension(artifact)}"
        taken.add(path)
        yield artifact, path


@contextmanager
def _server(out: Printer, url: str | None, token: str) -> Iterator[Client]:
    """Yield a client of the server that runs, else of one with the same settings that ends with the command.

    Only where no address is given: a server that is named must be there.
    """
    with Client(url, token) as client:
        try:
            client.get("/health")
        except ServerUnreachable:
            if url is not None:
                raise
        else:
            yield client
            return
    from imagemill.cli.demo_server import own_server

    out.say("  no server runs, so one is started for this picture; to keep one: imagemill serve")
    with own_server(token) as client:
        _await_nodes(client)
        yield client


def _await_nodes(client: Client) -> None:
    """Wait until the new server knows its nodes, as the default model is one of theirs."""
    deadline = time.monotonic() + _NODES_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            nodes = client.get("/api/v1/nodes")["items"]
        except ApiError:
            return  # the token may not read nodes
        if all(node["seen"] and node["seen"]["classes"] for node in nodes):
            return
        time.sleep(0.1)


def _sides(size: str | None) -> dict[str, int]:
    if size is None:
        return {}
    match = _SIZE.fullmatch(size.strip().lower())
    if match is None:
        raise CliError(f"--size: {shlex.quote(size)} is not a size; one looks like 768x512", UNUSABLE)
    return {"width": int(match[1]), "height": int(match[2])}
