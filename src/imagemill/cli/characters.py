"""``imagemill characters``: pictures of characters, made and looked at."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagemill.cli.output import REFUSED, TOKEN, UNUSABLE, CliError, Json, Printer, Token, Url

if TYPE_CHECKING:
    from imagemill.cli.client import Client

commands = typer.Typer(
    help="Pictures of characters: avatar, sticker, stickers, images, sheet.", no_args_is_help=True
)

_ROOT = "/api/v1/image-generation"
_LOOK_S = 0.3
"""How often it is asked how far a picture is."""
_WIDER = 1.3
"""Than high: labels make each cell of a sheet higher."""

Id = Annotated[str, typer.Argument(help="The character's id.", metavar="ID")]
Name = Annotated[str, typer.Option(help="What it is called.")]
Gender = Annotated[str, typer.Option(help="In any language, as all of the sheet.")]
Species = Annotated[str, typer.Option(help="Elf, robot, cat; none: human.")]
Physical = Annotated[str, typer.Option(help="Hair, eyes, body.")]
Attire = Annotated[str, typer.Option(help="What it wears.")]
Style = Annotated[str, typer.Option(help="Such as anime.")]
Loras = Annotated[list[str] | None, typer.Option("--lora", help="AIR of a LoRA; up to four.")]
Seed = Annotated[int | None, typer.Option(min=0, help="The same seed gives the same picture.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write the WebP there.")]


@commands.command()
def avatar(
    id: Id,
    name: Name = "",
    gender: Gender = "",
    species: Species = "",
    physical: Physical = "",
    attire: Attire = "",
    style: Style = "",
    lora: Loras = None,
    prompt: Annotated[str, typer.Option(help="What else it should show.")] = "",
    reference: Annotated[str | None, typer.Option(help="URL of a picture to draw it from.")] = None,
    seed: Seed = None,
    output: Output = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Make an avatar and wait for it."""
    sheet = _sheet(name, gender, species, physical, attire, style, lora)
    body = {"characterId": id, "prompt": prompt, "referenceImageUrl": reference, "seed": seed}
    _make("avatar", body | {"character": sheet}, output, as_json, url, token)


@commands.command()
def sticker(
    id: Id,
    emotion: Annotated[str, typer.Argument(help="happy, sad, angry, surprised, neutral, ...")],
    action: Annotated[str | None, typer.Option(help="What an emotion of your own looks like.")] = None,
    name: Name = "",
    gender: Gender = "",
    species: Species = "",
    physical: Physical = "",
    attire: Attire = "",
    style: Style = "",
    lora: Loras = None,
    seed: Seed = None,
    output: Output = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Make a sticker without background and wait for it."""
    sheet = _sheet(name, gender, species, physical, attire, style, lora)
    body = {"characterId": id, "emotion": emotion, "actionTag": action, "seed": seed}
    _make("sticker", body | {"character": sheet}, output, as_json, url, token)


@commands.command()
def stickers(
    id: Id,
    emotion: Annotated[list[str] | None, typer.Option("--emotion", help="Default: all eight.")] = None,
    name: Name = "",
    gender: Gender = "",
    species: Species = "",
    physical: Physical = "",
    attire: Attire = "",
    style: Style = "",
    lora: Loras = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Make a set of stickers and wait for all of them."""
    from imagemill.cli.client import Client

    sheet = _sheet(name, gender, species, physical, attire, style, lora)
    body = _given({"characterId": id, "emotions": emotion or None, "character": sheet})
    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        ordered = client.post(f"{_ROOT}/stickers/bulk", body)
        found = [_waited(client, job_id) for job_id in ordered["jobIds"]]
        if as_json:
            out.json({"batchId": ordered["batchId"], "stickers": found})
        for status in found:
            out.say(f"{status['data']['emotion']:<12} {_end(status)}")
        if lost := [status for status in found if status["state"] != "completed"]:
            raise CliError(f"{len(lost)} of {len(found)} stickers failed", REFUSED)


@commands.command()
def images(
    id: Id,
    type: Annotated[str | None, typer.Option(help="avatar, sticker or cover.")] = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """List the pictures of a character or a story, newest first; * is the active one of its kind."""
    from imagemill.cli.client import Client

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        found = _images(client, id, type)
        if as_json:
            out.json({"items": found})
        for image in found:
            size = f"{image['width']}x{image['height']}"
            mark = "*" if image["active"] else " "
            out.say(f"{mark} {image['id']}  {_kind(image):<20} {size:<10} {image['createdAt'][:19]}")


@commands.command()
def sheet(
    id: Id,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .png or .html file.")] = Path("sheet.png"),
    columns: Annotated[int | None, typer.Option(min=1, max=50, help="Pictures side by side.")] = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Write all pictures of a character on one contact sheet, with kinds and seeds."""
    from imagemill.cli.client import Client
    from imagemill.media.contact_sheet import Tile, draw, page

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        if output.suffix.lower() not in (".png", ".html"):
            raise CliError(f"--output: {output.name!r} should end with .png or .html", UNUSABLE)
        found = sorted(_images(client, id, None), key=lambda image: (image["type"], _kind(image)))
        cells = [Tile(_thumbnail(client, image), _lines(image)) for image in found]
        title = f"{id}: {len(cells)} pictures"
        beside = columns or max(1, math.ceil(math.sqrt(len(cells)) * _WIDER))
        try:
            if output.suffix.lower() == ".html":
                output.write_text(page(cells, title), encoding="utf-8")
            else:
                output.write_bytes(draw(cells, title, columns=beside))
        except (ValueError, OSError) as error:
            raise CliError(f"the sheet cannot be written: {error}", UNUSABLE) from error
        if as_json:
            out.json({"file": str(output), "cells": len(cells)})
        out.say(f"{output}: {len(cells)} pictures")


def _sheet(
    name: str, gender: str, species: str, physical: str, attire: str, style: str, lora: Sequence[str] | None
) -> dict[str, Any]:
    texts = {"name": name, "gender": gender, "species": species, "physical": physical, "attire": attire}
    return _given({**texts, "style": style, "lora": list(lora or ()) or None})


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", {})}


def _make(
    kind: str, body: Mapping[str, Any], output: Path | None, as_json: bool, url: str | None, token: str
) -> None:
    from imagemill.cli.client import Client

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        status = _waited(client, client.post(f"{_ROOT}/{kind}", _given(body))["jobId"])
        if as_json:
            out.json(status)
        if status["state"] != "completed":
            raise CliError(f"the {kind} failed: {status['failedReason']}", REFUSED)
        if output is not None:
            output.write_bytes(_fetched(client, status["result"]["imageUrl"]))
        if untranslated := status["result"].get("untranslated"):
            out.say(f"not translated: {', '.join(untranslated)}")
        out.say(f"{_end(status)}" if output is None else f"{output}: {_end(status)}")


def _waited(client: "Client", job_id: str) -> dict[str, Any]:
    """The status once it is over."""
    from imagemill.cli.client import segment

    while True:
        status = client.get(f"{_ROOT}/status/{segment(job_id)}")
        if status["state"] in ("completed", "failed"):
            return status
        time.sleep(_LOOK_S)


def _end(status: Mapping[str, Any]) -> str:
    if status["state"] != "completed":
        return f"failed: {status['failedReason']}"
    result = status["result"]
    return f"{result['width']}x{result['height']}, {result['size']} bytes, {result['imageUrl']}"


def _images(client: "Client", id_: str, type_: str | None) -> list[dict[str, Any]]:
    from imagemill.cli.client import segment

    found: list[dict[str, Any]] = []
    query: dict[str, Any] = _given({"type": type_, "limit": 200})
    while True:
        answer = client.get(f"{_ROOT}/characters/{segment(id_)}/images", **query)
        found += answer["items"]
        if answer["next"] is None:
            return found
        query["cursor"] = answer["next"]


def _kind(image: Mapping[str, Any]) -> str:
    return " ".join(filter(None, (image["type"], image["emotion"])))


def _lines(image: Mapping[str, Any]) -> tuple[str, str]:
    return _kind(image) + (" *" if image["active"] else ""), f"seed {image['seed']}"


def _thumbnail(client: "Client", image: Mapping[str, Any]) -> bytes:
    try:
        return _fetched(client, image["thumbnailUrl"])
    except CliError:
        return b""  # the sheet says that it is missing


def _fetched(client: "Client", url: str) -> bytes:
    """Its URL is signed, so no key is sent, wherever it leads."""
    import httpx2

    try:
        found = httpx2.get(url, follow_redirects=True, timeout=client.http.timeout)
    except httpx2.HTTPError as error:
        raise CliError(f"the picture cannot be fetched: {error}", UNUSABLE) from error
    if not found.is_success:
        raise CliError(f"the picture cannot be fetched: the server answered {found.status_code}", UNUSABLE)
    return found.content
