"""``imagemill characters``: make pictures of characters, list them, put them on a contact sheet."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from imagemill.cli.client import ApiError, Client, Reply, client_command, quote_segment
from imagemill.cli.output import REFUSED, UNUSABLE, CliError, OtherOwner, Printer, table_of

if TYPE_CHECKING:
    from imagemill.media.contact_sheet import Tile

commands = typer.Typer(help="Pictures of characters, stories and chats.", no_args_is_help=True)

_ROOT = "/api/v1/image-generation"
_POLL_S = 0.3
_EIGHT = "happy, sad, angry, surprised, neutral, thinking, shy, waving"

Id = Annotated[str, typer.Argument(help="The character's id.", metavar="ID")]
Job = Annotated[str, typer.Argument(help="The job's id.", metavar="JOB")]
Image = Annotated[str, typer.Argument(help="The picture's id, from `images`.", metavar="IMAGE")]
Seed = Annotated[int | None, typer.Option(min=0, help="The same seed gives the same picture.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Save the WebP to this file.")]
Subject = Annotated[
    Literal["character", "story", "chat"], typer.Option("--of", help="Which of the three the ID names.")
]
With = Annotated[
    list[str] | None, typer.Option("--with", metavar="ID", help="A stored character in it; may be repeated.")
]
Story = Annotated[str | None, typer.Option(metavar="ID", help="The story that it belongs to.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the price; submit nothing.")]
Instructions = Annotated[str, typer.Option(help="Text that is added to the prompt, in any language.")]


# The sheet of a character, as options.

_SHEET: Mapping[str, Any] = {
    "name": typer.Option(help="The character's name."),
    "gender": typer.Option(help="The character's gender; like all of the sheet, in any language."),
    "species": typer.Option(help="Such as elf, robot or cat. Default: human."),
    "physical": typer.Option(help="Hair, eyes, body."),
    "attire": typer.Option(help="The character's clothes."),
    "style": typer.Option(help="Style of the picture, such as anime."),
    "description": typer.Option(help="Anything else about the character; its visible traits are used."),
}
_LORA = typer.Option("--lora", help="AIR of a LoRA; may be given up to four times.")


def sheet_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a sheet; the function gets them as the dictionary ``character``."""
    declared = signature(function)
    texts = [
        Parameter(name, Parameter.KEYWORD_ONLY, default="", annotation=Annotated[str, option])
        for name, option in _SHEET.items()
    ]
    loras = Parameter(
        "lora", Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[list[str] | None, _LORA]
    )
    own = [
        each.replace(kind=Parameter.KEYWORD_ONLY)
        for name, each in declared.parameters.items()
        if name != "character"
    ]

    @wraps(function)
    def command(**given: Any) -> Any:
        sheet = {name: given.pop(name) for name in (*_SHEET, "lora")}
        return function(character=_drop_empty(sheet), **given)

    command.__signature__ = declared.replace(parameters=[*own, *texts, loras])  # pyright: ignore[reportAttributeAccessIssue]
    return command


# Make pictures.


@commands.command()
@client_command
@sheet_options
def avatar(
    client: Client,
    out: Printer,
    id: Id,
    character: dict[str, Any],
    prompt: Instructions = "",
    reference: Annotated[
        str | None, typer.Option(help="File or URL of a picture to start from (image-to-image).")
    ] = None,
    seed: Seed = None,
    output: Output = None,
    dry_run: DryRun = False,
) -> None:
    """Make an avatar and wait for it."""
    picture = _read_picture(reference) if reference else None
    body = {"characterId": id, "prompt": prompt, "referenceImageUrl": picture, "seed": seed}
    _make(client, out, "avatar", body | {"character": character}, output, dry_run=dry_run)


@commands.command()
@client_command
@sheet_options
def sticker(
    client: Client,
    out: Printer,
    id: Id,
    emotion: Annotated[str, typer.Argument(help=f"{_EIGHT}, or one of your own.")],
    character: dict[str, Any],
    action: Annotated[
        str | None, typer.Option(help="Describes an emotion that is not one of the built-in eight.")
    ] = None,
    instructions: Instructions = "",
    seed: Seed = None,
    output: Output = None,
    dry_run: DryRun = False,
) -> None:
    """Make a sticker with a transparent background and wait for it."""
    body = {"characterId": id, "emotion": emotion, "actionTag": action, "seed": seed}
    body |= {"customInstructions": instructions, "character": character}
    _make(client, out, "sticker", body, output, dry_run=dry_run)


@commands.command()
@client_command
@sheet_options
def stickers(
    client: Client,
    out: Printer,
    id: Id,
    character: dict[str, Any],
    emotion: Annotated[
        list[str] | None,
        typer.Option(
            "--emotion", help="An emotion, or NAME=ACTION for one of your own; may be repeated. Default: all."
        ),
    ] = None,
    instructions: Instructions = "",
    seed: Seed = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Save the stickers in this folder as EMOTION.webp.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Make a set of stickers and wait for all of them."""
    wanted = [_emotion(text) for text in emotion or ()]
    body = {"characterId": id, "emotions": wanted or None, "character": character, "seed": seed}
    body["customInstructions"] = instructions
    if dry_run:
        _print_price(client, out, "stickers/bulk", body)
        return
    with _options_named():
        batch = client.post(f"{_ROOT}/stickers/bulk", _drop_empty(body))
    found = [_wait(client, job_id) for job_id in batch["jobIds"]]
    done = [status for status in found if status["state"] == "completed"]
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        for status in done:
            _save(client, status, output / f"{status['data']['emotion']}.webp")
    if out.as_json:
        out.json({"batchId": batch["batchId"], "stickers": found})
    for status in found:
        out.say(f"{status['data']['emotion']:<12} {_describe_result(status)}")
    _say_untranslated(out, done)
    if failed := len(found) - len(done):
        raise CliError(f"{failed} of {len(found)} stickers failed", REFUSED)


def _emotion(text: str) -> str | dict[str, str]:
    name, equals, action = text.partition("=")
    return {"emotion": name, "actionTag": action} if equals else text


@commands.command()
@client_command
def cover(
    client: Client,
    out: Printer,
    story: Story = None,
    character: Annotated[
        str | None, typer.Option(metavar="ID", help="The stored character whose cover it is.")
    ] = None,
    title: Annotated[str, typer.Option(help="Title of the story.")] = "",
    synopsis: Annotated[str, typer.Option(help="What the story is about.")] = "",
    people: With = None,
    seed: Seed = None,
    output: Output = None,
    dry_run: DryRun = False,
) -> None:
    """Make the cover of a story or of a character and wait for it."""
    body = {"storyId": story, "characterId": character, "title": title, "synopsis": synopsis, "seed": seed}
    _make(client, out, "cover", body | {"characters": _cast(people)}, output, dry_run=dry_run)


@commands.command()
@client_command
def scene(
    client: Client,
    out: Printer,
    summary: Annotated[str, typer.Argument(help="What happens, in any language.")],
    place: Annotated[str, typer.Option(help="Where it happens.")] = "",
    mood: Annotated[str, typer.Option(help="Such as calm or tense.")] = "",
    people: With = None,
    message: Annotated[
        list[str] | None, typer.Option(help="A message of the conversation; may be repeated.")
    ] = None,
    width: Annotated[int | None, typer.Option(help="Pixels, 512 to 1536.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels, 512 to 1536.")] = None,
    chat: Annotated[str | None, typer.Option(metavar="ID", help="The chat that it belongs to.")] = None,
    story: Story = None,
    character: Annotated[
        str | None, typer.Option(metavar="ID", help="The character that it belongs to.")
    ] = None,
    seed: Seed = None,
    output: Output = None,
    dry_run: DryRun = False,
) -> None:
    """Make a picture of a moment and wait for it."""
    context = {"summary": summary, "place": place, "mood": mood, "characters": _cast(people)}
    body = {"context": context | {"messages": message or []}, "width": width, "height": height, "seed": seed}
    _make(
        client,
        out,
        "scene",
        body | {"chatId": chat, "storyId": story, "characterId": character},
        output,
        dry_run=dry_run,
    )


def _cast(ids: Sequence[str] | None) -> list[dict[str, str]]:
    return [{"characterId": id_} for id_ in ids or ()]


@commands.command()
@client_command
def status(client: Client, job: Job) -> Reply:
    """Show how far a picture is."""
    body = client.get(f"{_ROOT}/status/{quote_segment(job)}")
    ended = body["state"] in ("completed", "failed")
    return body, f"{body['state']} {_describe_result(body) if ended else str(body['progress']) + ' %'}"


@commands.command()
@client_command
def cancel(client: Client, job: Job) -> Reply:
    """Cancel a picture that is not made yet."""
    return client.post(f"{_ROOT}/cancel/{quote_segment(job)}"), f"{job} is canceled"


# Stored sheets.


@commands.command()
@client_command
@sheet_options
def store(client: Client, id: Id, character: dict[str, Any]) -> Reply:
    """Store the sheet of a character, for all requests without one."""
    with _options_named():
        body = client.put(f"{_ROOT}/characters/{quote_segment(id)}", {"character": character})
    return body, f"the sheet of {id} is stored"


@commands.command()
@client_command
def show(client: Client, id: Id) -> Reply:
    """Show the stored sheet of a character."""
    body = client.get(f"{_ROOT}/characters/{quote_segment(id)}")
    lines = [f"{name:<12} {_shown(value)}" for name, value in body["character"].items()]
    return body, lines


def _shown(value: Any) -> str:
    return (
        value
        if isinstance(value, str)
        else ", ".join(f"{each['air']} x {each['strength']}" for each in value)
    )


@commands.command("list")
@client_command
def list_characters(client: Client) -> Reply:
    """List the characters with a stored sheet."""
    found = _all_pages(client, f"{_ROOT}/characters", {})
    rows = [
        {
            "id": each["characterId"],
            "name": each["character"].get("name", ""),
            "physical": each["character"].get("physical", ""),
        }
        for each in found
    ]
    return {"items": found}, table_of(rows) if rows else "no sheet is stored"


@commands.command()
@client_command
def remove(
    client: Client,
    id: Id,
    pictures: Annotated[bool, typer.Option("--pictures", help="Delete all its pictures, too.")] = False,
) -> Reply:
    """Delete the stored sheet of a character."""
    query = "?pictures=true" if pictures else ""
    client.delete(f"{_ROOT}/characters/{quote_segment(id)}{query}")
    return {"characterId": id, "pictures": pictures}, f"the sheet of {id} is deleted"


@commands.command()
@client_command
@sheet_options
def preview(client: Client, character: dict[str, Any]) -> Reply:
    """Show a sheet in tags and the words that are in none, without making a picture."""
    with _options_named():
        body = client.post(f"{_ROOT}/characters/preview", {"character": character})
    lines = [f"{name:<12} {', '.join(body[name])}" for name in ("physical", "attire", "style")]
    if body["untranslated"]:
        lines.append(f"{'not in tags':<12} {', '.join(body['untranslated'])}")
    return body, [f"{'gender':<12} {body['gender']}", *lines, f"{'prompt':<12} {body['prompt']}"]


# Pictures that there are.


@commands.command()
@client_command
def images(
    client: Client,
    id: Id,
    subject: Subject = "character",
    type: Annotated[str | None, typer.Option(help="Only avatar, sticker, cover or scene.")] = None,
    owner: OtherOwner = None,
) -> Reply:
    """List the pictures of a character, a story or a chat, newest first; * marks the active ones."""
    found = _all_images(client, subject, id, {"type": type, "owner": owner})
    lines: list[str] = []
    for image in found:
        size = f"{image['width']}x{image['height']}"
        mark = "*" if image["active"] else " "
        lines.append(f"{mark} {image['id']}  {_kind(image):<20} {size:<10} {image['createdAt'][:19]}")
    return {"items": found}, lines or f"there is no picture of the {subject} {id}"


@commands.command()
@client_command
def activate(client: Client, id: Id, image: Image, subject: Subject = "character") -> Reply:
    """Make a picture the active one of its kind."""
    body = client.call("PUT", f"{_images_of(subject, id)}/{quote_segment(image)}/activate")
    return body, f"{image} is the active {_kind(body)} of {id}"


@commands.command()
@client_command
def delete(client: Client, id: Id, image: Image, subject: Subject = "character") -> Reply:
    """Delete a picture and its files."""
    client.delete(f"{_images_of(subject, id)}/{quote_segment(image)}")
    return {"id": image}, f"{image} is deleted"


@commands.command()
@client_command
def sheet(
    client: Client,
    id: Id,
    subject: Subject = "character",
    output: Annotated[Path, typer.Option("--output", "-o", help="The .png or .html file to write.")] = Path(
        "sheet.png"
    ),
    columns: Annotated[int | None, typer.Option(min=1, max=50, help="Pictures side by side.")] = None,
) -> Reply:
    """Write a contact sheet of all pictures of a character, a story or a chat, with kinds and seeds."""
    from imagemill.cli.contact_sheet import check_output, write_sheet

    check_output(output)
    found = sorted(_all_images(client, subject, id, {}), key=lambda image: (image["type"], _kind(image)))
    if not found:
        raise CliError(f"there is no picture of the {subject} {id}", REFUSED)
    tiles = [_tile(client, image) for image in found]
    return write_sheet(output, tiles, f"{id}: {len(tiles)} pictures", columns=columns, noun="pictures")


@commands.command()
@client_command
def drift(client: Client, id: Id, owner: OtherOwner = None) -> Reply:
    """Compare the colours of the active pictures with those of the active avatar, the farthest first."""
    body = client.get(f"{_ROOT}/characters/{quote_segment(id)}/drift", **_drop_empty({"owner": owner}))
    if body["identity"] is None:
        return body, f"{id} has no avatar to compare with: imagemill characters avatar {id}"
    lines = [
        f"{'?' if each['distance'] is None else each['distance']:>6}  {_kind(each['image']):<20} "
        f"{each['image']['id']}"
        for each in body["items"]
    ]
    return body, lines or f"{id} has no other active picture than its avatar"


def _drop_empty(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", {}, [])}


def _read_picture(reference: str) -> str:
    """Return a URL as it is, a file as a data URL. Raises `CliError` for a file that cannot be read."""
    if reference.startswith(("http://", "https://", "data:", "blob:")):
        return reference
    import base64
    import mimetypes

    try:
        data = Path(reference).expanduser().read_bytes()
    except OSError as error:
        raise CliError(f"--reference: {reference} cannot be read: {error.strerror}", UNUSABLE) from error
    media_type = mimetypes.guess_type(reference)[0] or "image/png"
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


_OPTIONS = {
    "characterId": "ID",
    "character": "the sheet (--name, --physical, ...)",
    "emotion": "EMOTION",
    "emotions": "--emotion",
    "actionTag": "--action",
    "customInstructions": "--instructions",
    "referenceImageUrl": "--reference",
    "storyId": "--story",
    "chatId": "--chat",
    "characters": "--with",
    "context.summary": "SUMMARY",
    "context.characters": "--with",
    "context.messages": "--message",
}
"""Options by the API's names of fields, where they differ."""


def _option_of(field: str) -> str:
    plain = field.partition("[")[0]
    return _OPTIONS.get(plain) or f"--{plain.rpartition('.')[2]}"


@contextmanager
def _options_named() -> Iterator[None]:
    """Name the options instead of the API's fields in errors; JSON output keeps the fields."""
    try:
        yield
    except ApiError as error:
        fields: Mapping[str, list[str]] = (error.body or {}).get("errors") or {}
        if not fields:
            raise
        named: dict[str, list[str]] = {}
        for field, messages in fields.items():
            named.setdefault(_option_of(field), []).extend(messages)
        renamed = ApiError(error.status_code, {**error.body, "errors": named})
        renamed.body = error.body
        raise renamed from error


def _make(
    client: Client, out: Printer, kind: str, body: Mapping[str, Any], output: Path | None, *, dry_run: bool
) -> None:
    if dry_run:
        _print_price(client, out, kind, body)
        return
    with _options_named():
        accepted = client.post(f"{_ROOT}/{kind}", _drop_empty(body))
    status = _wait(client, accepted["jobId"])
    if out.as_json:
        out.json(status)
    if status["state"] != "completed":
        raise CliError(f"the {kind} failed: {status['failedReason']}", REFUSED)
    if output is not None:
        _save(client, status, output)
    _say_untranslated(out, [status])
    result = _describe_result(status)
    out.say(result if output is None else f"{output}: {result}")


def _print_price(client: Client, out: Printer, kind: str, body: Mapping[str, Any]) -> None:
    with _options_named():
        price = client.post(f"{_ROOT}/{kind}", _drop_empty(body), whatif="true")
    if out.as_json:
        out.json(price)
    free = "" if price["charged"] else "; jobs are free on this server"
    count = len(price["jobs"])
    pictures = f"{count} picture{'s' if count != 1 else ''}"
    out.say(f"price of {pictures}: {price['cost']:g} credits{free}. Nothing was submitted.")


def _say_untranslated(out: Printer, done: Sequence[Mapping[str, Any]]) -> None:
    words = [word for status in done for word in status["result"].get("untranslated") or ()]
    if words:
        out.say(f"not translated: {', '.join(dict.fromkeys(words))}")


def _save(client: Client, status: Mapping[str, Any], output: Path) -> None:
    try:
        output.write_bytes(_download(client, status["result"]["imageUrl"]))
    except OSError as error:
        raise CliError(f"--output: {output} cannot be written: {error.strerror}", UNUSABLE) from error


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


_LISTS = {"character": "characters", "story": "stories", "chat": "chats"}


def _images_of(subject: str, id_: str) -> str:
    return f"{_ROOT}/{_LISTS[subject]}/{quote_segment(id_)}/images"


def _all_images(client: Client, subject: str, id_: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
    return _all_pages(client, _images_of(subject, id_), _drop_empty(query))


def _all_pages(client: Client, path: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    asked = {**query, "limit": 200}
    while True:
        page = client.get(path, **asked)
        found += page["items"]
        if page["next"] is None:
            return found
        asked["cursor"] = page["next"]


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
