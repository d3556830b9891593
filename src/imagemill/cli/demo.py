"""``imagemill demo``: from nothing to a picture, through a real server, in a few seconds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagemill.cli.output import CliError, Printer

if TYPE_CHECKING:
    from imagemill.cli.client import Client

CHECKPOINT = "urn:air:sdxl:checkpoint:imagemill:demo@1"
LORA = "urn:air:sdxl:lora:imagemill:golden-hour@1"
PICTURE = "imagemill-demo.png"
_PATIENCE_S = 60.0
"""The job takes two seconds."""

_RESOURCES = (
    {
        "air": CHECKPOINT,
        "modelName": "Imagemill Demo",
        "versionName": "1",
        "tags": ["demo", "sdxl"],
        "fileFormat": "safeTensor",
    },
    {
        "air": LORA,
        "modelName": "Golden Hour",
        "versionName": "1",
        "tags": ["demo", "light"],
        "trainedWords": ["golden hour"],
    },
)

JOB: dict[str, Any] = {
    "$type": "textToImage",
    "model": CHECKPOINT,
    "params": {
        "prompt": "a sailing boat on a calm sea, golden hour, soft light, detailed",
        "negativePrompt": "blurry, text",
        "scheduler": "EulerA",
        "steps": 25,
        "cfgScale": 7,
        "width": 768,
        "height": 512,
        "seed": 8,
    },
    "additionalNetworks": {LORA: {"type": "Lora", "strength": 0.8}},
}
"""As a client of Civitai's v1 API writes it."""


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the picture and the server's log.")
    ] = Path("demo-output"),
    keep: Annotated[bool, typer.Option("--keep", help="Keep the demo's data folder as well.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Make a first picture: starts a server of its own, submits a job, shows it, saves the picture."""
    from imagemill.cli.demo_server import demo_server

    out = Printer(as_json)
    with out.reporting():
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CliError(f"{output} cannot be written: {error.strerror}") from error
        _head(out)
        with demo_server(output.absolute(), keep=keep) as server:
            _done(out, "server", f"{server.client.url}, ready in {server.ready_s:.1f} s")
            result = _make_picture(out, server.client, output)
        if as_json:
            out.json(result)
        else:
            _farewell(out, output, keep)


def _make_picture(out: Printer, client: "Client", output: Path) -> dict[str, Any]:
    """Register, submit, follow, save; what happened. Raises `CliError`."""
    from imagemill.cli import follow as cli_follow
    from imagemill.cli.follow import JobDisplay, follow, show_timeline

    _register(client)
    _done(out, "models", CHECKPOINT)
    _done(out, "", LORA)
    job_id = client.post("/v1/consumer/jobs", JOB)["jobs"][0]["jobId"]
    params = JOB["params"]
    _done(out, "job", f"{job_id}  {params['width']} x {params['height']}, {params['steps']} steps")
    screen = JobDisplay(out, "rendering", told=False)
    last = screen.show(follow(client, job_id, give_up_s=5, patience_s=_PATIENCE_S))
    if last.name != "Succeeded":
        error = last.data["data"].get("error") or {}
        raise CliError(f"the job ended as {last.name}: {error.get('message', 'no reason was given')}")
    picture = _save(client, job_id, output / PICTURE)
    _done(out, "picture", f"{picture['path']}  {picture['bytes'] / 1024:.0f} KiB, seed {picture['seed']}")
    show_timeline(out, screen.events)
    stages = [{"stage": span.name, "ms": span.ms} for span in cli_follow.spans(screen.events)]
    return {"job": job_id, **picture, "stages": stages}


def _register(client: "Client") -> None:
    from imagemill.cli.client import ApiError

    for resource in _RESOURCES:
        try:
            client.post("/v2/resources", resource)
        except ApiError as refusal:
            if refusal.status_code != 409:
                raise


def _save(client: "Client", job_id: str, path: Path) -> dict[str, Any]:
    """Fetch the finished picture by its URL, as any client would."""
    import httpx2

    job = client.get(f"/v1/consumer/jobs/{job_id}")
    result = job["result"]
    if not result.get("available"):
        raise CliError("the job succeeded, but its picture is not available")
    # No token: the URL is signed.
    answer = httpx2.get(result["blobUrl"], trust_env=False, timeout=30)
    if not answer.is_success:
        raise CliError(f"the picture's URL answered {answer.status_code}")
    path.write_bytes(answer.content)
    return {
        "path": str(path),
        "bytes": len(answer.content),
        "mediaType": answer.headers.get("content-type"),
        "seed": result.get("seed"),
    }


def _head(out: Printer) -> None:
    from rich.text import Text

    out.say(
        Text.assemble("\n", ("  Imagemill demo", "bold"), ("  one picture, on this machine only\n", "dim"))
    )


def _done(out: Printer, name: str, text: str) -> None:
    from rich.text import Text

    mark = ("  ✓ ", "green") if name else "    "
    out.say(Text.assemble(mark, (f"{name:<10}", "dim"), text))


def _farewell(out: Printer, output: Path, keep: bool) -> None:
    from rich.text import Text

    out.say(Text.assemble("\n  The picture: ", (str((output / PICTURE).absolute()), "bold")))
    out.say(
        Text.assemble(
            "  ", ("simulated: no GPU and no ComfyUI took part; the API, queue and files are real", "dim")
        )
    )
    if keep:
        out.say(Text.assemble("  The data folder is kept below ", (str(output.absolute()), "bold")))
    out.say(Text.assemble("\n  Now your own server: ", ("imagemill serve", "bold cyan"), "\n"))
