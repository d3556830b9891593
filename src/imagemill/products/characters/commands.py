"""``imagemill characters``: make pictures of characters, list them, put them on a contact sheet."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagemill.cli.client import Client, Reply, client_command, quote_segment
from imagemill.cli.output import REFUSED, UNUSABLE, CliError, Printer

if TYPE_CHECKING:
    from imagemill.media.contact_sheet import Tile

commands = typer.Typer(
    help="Pictures of characters: avatar, sticker, stickers, images, sheet.", no_args_is_help=True
)

_ROOT = "/api/v1/image-generation"
_POLL_S = 0.3

Id = Annotated[str, typer.Argument(help="The character's id.", metavar="ID")]
Name = Annotated[str, typer.Option(help="The character's name.")]
Gender = Annotated[str, typer.Option(help="The character's gender; like all of the sheet, in any language.")]
Species = Annotated[str, typer.Option(help="Such as elf, robot or cat. Default: human.")]
Physical = Annotated[str, typer.Option(help="Hair, eyes, body.")]
Attire = Annotated[str, typer.Option(help="The character's clothes.")]
Style = Annotated[str, typer.Option(help="Style of the picture, such as anime.")]
Loras = Annotated[
    list[str] | None, typer.Option("--lora", help="AIR of a LoRA; may be given up to four times.")
]
Seed = Annotated[int | None, typer.Option(min=0, help="The same seed gives the same picture.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Save the WebP to this file.")]


@commands.command()
@client_command
def avatar(
    client: Client,
    out: Printer,
    id: Id,
    name: Name = "",
    gender: Gender = "",
    species: Species = "",
    physical: Physical = "",
    attire: Attire = "",
    style: Style = "",
    lora: Loras = None,
    prompt: Annotated[str, typer.Option(help="Text that is added to the prompt.")] = "",
    reference: Annotated[
        str | None, typer.Option(help="URL of a picture to start from (image-to-image).")
    ] = None,
    seed: Seed = None,
    output: Output = None,
) -> None:
    """Make an avatar and wait for it."""
    sheet = _sheet_fields(name, gender, species, physical, attire, style, lora)
    body = {"characterId": id, "prompt": prompt, "referenceImageUrl": reference, "seed": seed}
    _make(client, out, "avatar", body | {"character": sheet}, output)


@commands.command()
@client_command
def sticker(
    client: Client,
    out: Printer,
    id: Id,
    emotion: Annotated[str, typer.Argument(help="happy, sad, angry, surprised, neutral, ...")],
    action: Annotated[
        str | None, typer.Option(help="Describes an emotion that is not one of the built-in eight.")
    ] = None,
    name: Name = "",
    gender: Gender = "",
    species: Species = "",
    physical: Physical = "",
    attire: Attire = "",
    style: Style = "",
    lora: Loras = None,
    seed: Seed = None,
    output: Output = None,
) -> None:
    """Make a sticker with a transparent background and wait for it."""
    sheet = _sheet_fields(name, gender, species, physical, attire, style, lora)
    body = {"characterId": id, "emotion": emotion, "actionTag": action, "seed": seed}
    _make(client, out, "sticker", body | {"character": sheet}, output)


@commands.command()
@client_command
def stickers(
    client: Client,
    out: Printer,
    id: Id,
    emotion: Annotated[
        list[str] | None, typer.Option("--emotion", help="An emotion; may be repeated. Default: all eight.")
    ] = None,
    name: Name = "",
    gender: Gender = "",
    species: Species = "",
    physical: Physical = "",
    attire: Attire = "",
    style: Style = "",
    lora: Loras = None,
) -> None:
    """Make a set of stickers and wait for all of them."""
    sheet = _sheet_fields(name, gender, species, physical, attire, style, lora)
    body = _drop_empty({"characterId": id, "emotions": emotion or None, "character": sheet})
    batch = client.post(f"{_ROOT}/stickers/bulk", body)
    found = [_wait(client, job_id) for job_id in batch["jobIds"]]
    if out.as_json:
        out.json({"batchId": batch["batchId"], "stickers": found})
    for status in found:
        out.say(f"{status['data']['emotion']:<12} {_describe_result(status)}")
    if failed := [status for status in found if status["state"] != "completed"]:
        raise CliError(f"{len(failed)} of {len(found)} stickers failed", REFUSED)


@commands.command()
@client_command
def images(
    client: Client,
    id: Id,
    type: Annotated[str | None, typer.Option(help="Only avatar, sticker or cover.")] = None,
) -> Reply:
    """List the pictures of a character or a story, newest first; * marks the active one of its kind."""
    found = _all_images(client, id, type)
    lines: list[str] = []
    for image in found:
        size = f"{image['width']}x{image['height']}"
        mark = "*" if image["active"] else " "
        lines.append(f"{mark} {image['id']}  {_kind(image):<20} {size:<10} {image['createdAt'][:19]}")
    return {"items": found}, lines


@commands.command()
@client_command
def sheet(
    client: Client,
    id: Id,
    output: Annotated[Path, typer.Option("--output", "-o", help="The .png or .html file to write.")] = Path(
        "sheet.png"
    ),
    columns: Annotated[int | None, typer.Option(min=1, max=50, help="Pictures side by side.")] = None,
) -> Reply:
    """Write a contact sheet of all pictures of a character, with kinds and seeds."""
    from imagemill.cli.contact_sheet import check_output, write_sheet

    check_output(output)
    found = sorted(_all_images(client, id, None), key=lambda image: (image["type"], _kind(image)))
    tiles = [_tile(client, image) for image in found]
    return write_sheet(output, tiles, f"{id}: {len(tiles)} pictures", columns=columns, noun="pictures")


def _sheet_fields(
    name: str, gender: str, species: str, physical: str, attire: str, style: str, lora: Sequence[str] | None
) -> dict[str, Any]:
    texts = {"name": name, "gender": gender, "species": species, "physical": physical, "attire": attire}
    return _drop_empty({**texts, "style": style, "lora": list(lora or ()) or None})


def _drop_empty(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", {})}


def _make(client: Client, out: Printer, kind: str, body: Mapping[str, Any], output: Path | None) -> None:
    status = _wait(client, client.post(f"{_ROOT}/{kind}", _drop_empty(body))["jobId"])
    if out.as_json:
        out.json(status)
    if status["state"] != "completed":
        raise CliError(f"the {kind} failed: {status['failedReason']}", REFUSED)
    if output is not None:
        output.write_bytes(_download(client, status["result"]["imageUrl"]))
    if untranslated := status["result"].get("untranslated"):
        out.say(f"not translated: {', '.join(untranslated)}")
    result = _describe_result(status)
    out.say(result if output is None else f"{output}: {result}")


def _wait(client: Client, job_id: str) -> dict[str, Any]:
    """Poll until the job has ended; return its status."""
    while True:
        status = client.get(f"{_ROOT}/status/{quote_segment(job_id)}")
        if status["state"] in ("completed", "failed"):
            return status
        time.sleep(_POLL_S)


def _describe_result(status: Mapping[str, Any]) -> str:
    if status["state"] != "completed":
        return f"failed: {status['failedReason']}"
    result = status["result"]
    return f"{result['width']}x{result['height']}, {result['size']} bytes, {result['imageUrl']}"


def _all_images(client: Client, id_: str, type_: str | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = _drop_empty({"type": type_, "limit": 200})
    while True:
        page = client.get(f"{_ROOT}/characters/{quote_segment(id_)}/images", **query)
        found += page["items"]
        if page["next"] is None:
            return found
        query["cursor"] = page["next"]


def _kind(image: Mapping[str, Any]) -> str:
    return " ".join(filter(None, (image["type"], image["emotion"])))


def _tile(client: Client, image: Mapping[str, Any]) -> "Tile":
    from imagemill.media.contact_sheet import Tile

    try:
        thumbnail = _download(client, image["thumbnailUrl"])
    except CliError:
        thumbnail = b""  # the sheet shows it as missing
    return Tile(thumbnail, (_kind(image) + (" *" if image["active"] else ""), f"seed {image['seed']}"))


def _download(client: Client, url: str) -> bytes:
    """Fetch a picture. Its URL is signed, so no key is sent to the host that serves it."""
    import httpx2

    try:
        response = httpx2.get(url, follow_redirects=True, timeout=client.http.timeout)
    except httpx2.HTTPError as error:
        raise CliError(f"the picture cannot be fetched: {error}", UNUSABLE) from error
    if not response.is_success:
        raise CliError(f"the picture cannot be fetched: the server answered {response.status_code}", UNUSABLE)
    return response.content
