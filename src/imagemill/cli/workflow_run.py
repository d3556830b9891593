"""Running a workflow from a command line: texts become values, files become data URLs, results files."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2

from imagemill.cli.client import Client, segment
from imagemill.cli.follow import TERMINAL, JobDisplay, follow
from imagemill.cli.output import REFUSED, UNUSABLE, CliError, Printer

_PICTURES = ("image", "mask")
_SIGNATURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}
_DOWNLOAD_S = 300.0
"""Videos are large."""


def body_of(
    inputs: Sequence[Mapping[str, Any]], values: Iterable[str], images: Iterable[str]
) -> dict[str, Any]:
    """The values a workflow is run with. Raises `CliError` that names the input.

    What only the server can check is left to it.
    """
    types = {one["name"]: str(one["type"]) for one in inputs}
    body: dict[str, Any] = {}
    for pair in values:
        name, text = _split(pair, "steps=20")
        _check(name, types)
        if types[name] == "loras":
            body.setdefault(name, []).extend(_loras(name, text))
        else:
            body[name] = _value(name, text, types[name])
    for pair in images:
        name, text = _split(pair, "--image image=photo.png")
        _check(name, types)
        if types[name] not in _PICTURES:
            raise CliError(f"--image: {name} takes no picture but a value of type {types[name]}", UNUSABLE)
        body[name] = data_url(Path(text))
    return body


def data_url(path: Path) -> str:
    data = _read(path)
    kind = next((kind for head, kind in _SIGNATURES.items() if data.startswith(head)), None)
    if kind is None:
        raise CliError(f"{path} is no PNG, JPEG or WebP", UNUSABLE)
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def text_of(path: Path) -> str:
    try:
        return _read(path).decode()
    except UnicodeDecodeError as error:
        raise CliError(f"{path} is not text", UNUSABLE) from error


def finish(out: Printer, client: Client, job_id: str, save: Path | None) -> int:
    """Follow the job to its end, then show or save what it made; the exit status."""
    screen = JobDisplay(out, "rendering", told=False)
    last = screen.show(follow(client, job_id, on_break=screen.broke))
    job = client.get(f"/api/v1/jobs/{segment(job_id)}")
    files = [_save(client, job, artifact, save) for artifact in job["artifacts"]] if save else []
    if out.as_json:
        out.json(job | {"files": files} if save else job)
    elif job["error"]:
        raise CliError(f"job {job_id} failed: {job['error']['message']}", REFUSED)
    else:
        out.say(f"job {job_id} is {job['status']}")
        for line in files or [artifact["url"] for artifact in job["artifacts"]]:
            out.say(f"  {line}")
    return TERMINAL[last.name]


def _split(pair: str, example: str) -> tuple[str, str]:
    name, equals, text = pair.partition("=")
    if not equals or not name:
        raise CliError(f"{pair!r} is no input and value; write {example}", UNUSABLE)
    return name, text


def _check(name: str, types: Mapping[str, str]) -> None:
    if name not in types:
        raise CliError(f"{name} is no input of this workflow; it has {', '.join(types) or 'none'}", UNUSABLE)


def _value(name: str, text: str, kind: str) -> Any:
    if kind in _PICTURES:
        # An address or a key goes as it is, as the server fetches it.
        return text if text.startswith(("http://", "https://", "data:", "blob:")) else data_url(Path(text))
    if kind in ("integer", "seed", "number"):
        try:
            return float(text) if kind == "number" else int(text)
        except ValueError:
            what = "number" if kind == "number" else "whole number"
            raise CliError(f"{name}: {text!r} is no {what}", UNUSABLE) from None
    if kind == "boolean":
        if text.lower() not in ("true", "false"):
            raise CliError(f"{name}: {text!r} is neither true nor false", UNUSABLE)
        return text.lower() == "true"
    return text


def _loras(name: str, text: str) -> list[Any]:
    """A JSON list, or ``FILE_OR_AIR`` with ``*STRENGTH`` behind it where that is not 1."""
    if text.startswith("["):
        try:
            found = json.loads(text)
        except ValueError as error:
            raise CliError(f"{name}: is not JSON: {error}", UNUSABLE) from error
        return found
    model, star, strength = text.rpartition("*")
    if not star:
        model, strength = text, "1"
    field = "air" if model.lower().startswith(("urn:air:", "air:", "@")) else "file"
    try:
        return [{field: model, "strength": float(strength)}]
    except ValueError:
        raise CliError(
            f"{name}: {strength!r} is no strength; write {name}=x.safetensors*0.8", UNUSABLE
        ) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CliError(f"{path} cannot be read: {error.strerror}", UNUSABLE) from error


def _save(client: Client, job: Mapping[str, Any], artifact: Mapping[str, Any], folder: Path) -> str:
    """The file's path. It is named after the job, so that a second run overwrites nothing."""
    url = str(artifact["url"])
    extension = url.partition("?")[0].rpartition(".")[2]
    position = list(job["artifacts"]).index(artifact)
    path = folder / f"{job['id']}-{position + 1}.{extension}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with client.http.stream("GET", url, timeout=_DOWNLOAD_S) as answer, path.open("wb") as file:
            if not answer.is_success:
                raise CliError(f"{url.partition('?')[0]} answered {answer.status_code}")
            for chunk in answer.iter_bytes():
                file.write(chunk)
    except OSError as error:
        raise CliError(f"{path} cannot be written: {error.strerror}") from error
    except httpx2.HTTPError as error:
        raise client.absent(error) from error
    return str(path)
