"""``imagemill demo``: starts a server, makes one picture and saves it, in a few seconds."""

import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from imagemill.cli.client import ApiError, Client
from imagemill.cli.follow import JobDisplay, follow, timeline, timeline_spans
from imagemill.cli.output import CliError, Json, Printer

CHECKPOINT = "urn:air:sdxl:checkpoint:imagemill:demo@1"
LORA = "urn:air:sdxl:lora:imagemill:golden-hour@1"
PICTURE = "imagemill-demo.png"
_TIMEOUT_S = 60.0
"""The job takes about two seconds."""

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
"""The body of a request to Civitai's v1 API."""


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the picture and the server's log.")
    ] = Path("demo-output"),
    keep: Annotated[bool, typer.Option("--keep", help="Also keep the demo server's data folder.")] = False,
    as_json: Json = False,
) -> None:
    """Make a first picture: start a temporary server, submit a job, follow it and save the picture."""
    from imagemill.cli.demo_server import demo_server

    out = Printer(as_json)
    with out.reporting():
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CliError(f"{output} cannot be written: {error.strerror}") from error
        _print_head(out)
        with demo_server(output.absolute(), keep=keep) as server:
            _print_step(out, "server", f"{server.client.url}, ready in {server.ready_s:.1f} s")
            result = _make_picture(out, server.client, output)
        if as_json:
            out.json(result)
        else:
            _print_end(out, output, keep)


def _make_picture(out: Printer, client: Client, output: Path) -> dict[str, Any]:
    """Submit a job, follow it and save its picture; return the facts for JSON. Raises `CliError`."""
    _register(client)
    _print_step(out, "models", CHECKPOINT)
    _print_step(out, "", LORA)
    job_id = client.post("/v1/consumer/jobs", JOB)["jobs"][0]["jobId"]
    params = JOB["params"]
    _print_step(out, "job", f"{job_id}  {params['width']} x {params['height']}, {params['steps']} steps")
    display = JobDisplay(out, "rendering", show_events=False)
    last = display.show(follow(client, job_id, give_up_s=5, timeout_s=_TIMEOUT_S))
    if last.name != "Succeeded":
        error = last.data["data"].get("error") or {}
        raise CliError(
            f"the job did not succeed ({last.name}): {error.get('message', 'no reason was given')}"
        )
    picture = _save(client, job_id, output / PICTURE)
    _print_step(
        out, "picture", f"{picture['path']}  {picture['bytes'] / 1024:.0f} KiB, seed {picture['seed']}"
    )
    for part in timeline(display.events):
        out.say(part)
    stages = [{"stage": span.name, "ms": span.ms} for span in timeline_spans(display.events)]
    return {"job": job_id, **picture, "stages": stages}


def _register(client: Client) -> None:
    """Register the demo's models, unless they are registered already."""
    for resource in _RESOURCES:
        try:
            client.post("/v2/resources", resource)
        except ApiError as error:
            if error.status_code != 409:
                raise


def _save(client: Client, job_id: str, path: Path) -> dict[str, Any]:
    """Fetch the finished picture by its URL, as any client would; return the facts for JSON."""
    import httpx2

    job = client.get(f"/v1/consumer/jobs/{job_id}")
    result = job["result"]
    if not result.get("available"):
        raise CliError("the job succeeded, but its picture is not available")
    # The URL is signed, so no token is sent.
    response = httpx2.get(result["blobUrl"], trust_env=False, timeout=30)
    if not response.is_success:
        raise CliError(f"the picture's URL answered {response.status_code}")
    path.write_bytes(response.content)
    return {
        "path": str(path),
        "bytes": len(response.content),
        "mediaType": response.headers.get("content-type"),
        "seed": result.get("seed"),
    }


def _print_head(out: Printer) -> None:
    from rich.text import Text

    out.say(
        Text.assemble("\n", ("  Imagemill demo", "bold"), ("  one picture, on this machine only\n", "dim"))
    )


def _print_step(out: Printer, name: str, text: str) -> None:
    from rich.text import Text

    mark = ("  ✓ ", "green") if name else "    "
    out.say(Text.assemble(mark, (f"{name:<10}", "dim"), text))


def _program() -> str:
    """Return how this program is called: by its name, or by its path where the shell would not find it."""
    return "imagemill" if shutil.which("imagemill") else str(Path(sys.executable).with_name("imagemill"))


def _print_end(out: Printer, output: Path, keep: bool) -> None:
    from rich.text import Text

    out.say(Text.assemble("\n  The picture: ", (str((output / PICTURE).absolute()), "bold")))
    out.say(
        Text.assemble(
            "  ",
            ("the picture is simulated, without a GPU or ComfyUI; the API, queue and files are real", "dim"),
        )
    )
    if keep:
        out.say(Text.assemble("  The data folder is kept in ", (str(output.absolute()), "bold")))
    out.say(
        Text.assemble("\n  Now start your own server: ", (f"{_program()} serve --open", "bold cyan"), "\n")
    )
