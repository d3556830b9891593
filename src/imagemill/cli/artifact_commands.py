"""``imagemill artifacts``: list, download, rate, delete and pack finished pictures and other files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from imagemill.cli.client import Client, Reply, client_command, parse_response, quote_segment
from imagemill.cli.jobs import AllOwners, OwnerName, choose_owner
from imagemill.cli.output import UNUSABLE, CliError, make_table
from imagemill.cli.saved_files import extension, save_file

commands = typer.Typer(
    help="Finished pictures and other files: list, download, rate, delete, zip.", no_args_is_help=True
)
ArtifactIds = Annotated[list[str], typer.Argument(help="Ids of artifacts.", metavar="ARTIFACT...")]
ChosenIds = Annotated[
    list[str] | None,
    typer.Argument(help="Ids of artifacts. Without, those of the filter.", metavar="ARTIFACT..."),
]
Text = Annotated[str | None, typer.Option(help="Only those with this text in their prompt.")]
Model = Annotated[
    list[str] | None, typer.Option(help="Only those of this checkpoint: AIR or file name, * for any text.")
]
Recipe = Annotated[list[str] | None, typer.Option(help="Only those of this recipe.")]
Node = Annotated[list[str] | None, typer.Option(help="Only those made on this node.")]
Job = Annotated[list[str] | None, typer.Option(help="Only those of this job, by its whole id.")]
Batch = Annotated[list[str] | None, typer.Option(help="Only those of this submission.")]
Character = Annotated[str | None, typer.Option(help="Only those of this character.")]
Rating = Annotated[int | None, typer.Option(min=0, max=5, help="Only those rated so or higher.")]
From = Annotated[str | None, typer.Option("--from", help="Made since, such as 2h or a date.")]
To = Annotated[str | None, typer.Option("--to", help="Made before, such as 2h or a date.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="The most artifacts.")]
_PATH = "/api/v1/artifacts"
_PROMPT_CHARS = 48
_ZIP_TIMEOUT_S = 600.0


@commands.command("list")
@client_command
def list_(
    client: Client,
    text: Text = None,
    model: Model = None,
    recipe: Recipe = None,
    node: Node = None,
    job: Job = None,
    batch: Batch = None,
    character: Character = None,
    type_: Annotated[
        list[str] | None, typer.Option("--type", help="Only this media type: image, video, image/png, ...")
    ] = None,
    rating: Rating = None,
    from_: From = None,
    to: To = None,
    sort: Annotated[str, typer.Option(help="newest or rating.")] = "newest",
    deleted: Annotated[bool, typer.Option("--deleted", help="Also those whose file was deleted.")] = False,
    limit: Limit = 20,
    cursor: Annotated[str | None, typer.Option(help="Continue a list: `next` of the page before.")] = None,
    owner: OwnerName = None,
    every_owner: AllOwners = False,
) -> Reply:
    """List artifacts, newest first."""
    query: dict[str, Any] = {
        "text": text, "model": model, "recipe": recipe, "node": node, "job": job, "batch": batch,
        "character": character, "type": type_, "rating": rating, "from": from_, "to": to, "cursor": cursor,
    }  # fmt: skip
    query |= {"sort": sort, "limit": limit, "deleted": str(deleted).lower()}
    page = _page(client, query, choose_owner(owner, every_owner))
    if not page["items"]:
        note = f"; searched back to {page['searchedTo']}" if page["searchedTo"] else ""
        return page, f"no such artifacts{note}"
    more = [f"\nmore: --cursor {page['next']}"] if page["next"] else []
    return page, [_table(page["items"]), *more]


@commands.command()
@client_command
def download(
    client: Client,
    artifacts: ArtifactIds,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder.")] = Path("pictures"),
    owner: OwnerName = None,
    every_owner: AllOwners = False,
) -> Reply:
    """Save the files of artifacts to a folder, named after their ids."""
    whose = choose_owner(owner, every_owner)
    found = [client.get(f"{_PATH}/{quote_segment(id_)}", **whose) for id_ in artifacts]
    if deleted := [each["id"] for each in found if not each["available"]]:
        raise CliError(f"the files of {len(deleted)} artifacts were deleted", details=tuple(deleted[:10]))
    files = [save_file(client, each, output / f"{each['id'][:16]}.{extension(each)}") for each in found]
    return {"files": files}, files


@commands.command()
@client_command
def rate(
    client: Client,
    artifact: Annotated[str, typer.Argument(help="The artifact's id.", metavar="ARTIFACT")],
    rating: Annotated[int, typer.Argument(min=0, max=5, help="1 to 5; 0 takes the rating away.")],
    owner: OwnerName = None,
    every_owner: AllOwners = False,
) -> Reply:
    """Rate an artifact."""
    whose = choose_owner(owner, every_owner)
    path = f"{_PATH}/{quote_segment(artifact)}"
    body = client.call("PATCH", path, params=whose, json={"rating": rating})
    return body, f"{artifact} is rated {rating}" if rating else f"{artifact} has no rating"


@commands.command()
@client_command
def delete(
    client: Client, artifacts: ArtifactIds, owner: OwnerName = None, every_owner: AllOwners = False
) -> Reply:
    """Delete the files of artifacts; their jobs stay."""
    whose = choose_owner(owner, every_owner)
    for id_ in artifacts:
        client.call("DELETE", f"{_PATH}/{quote_segment(id_)}", params=whose)
    return {"deleted": list(artifacts)}, f"{len(artifacts)} deleted"


@commands.command("zip")
@client_command
def zip_(
    client: Client,
    artifacts: ChosenIds = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The ZIP file.")] = Path(
        "pictures.zip"
    ),
    text: Text = None,
    model: Model = None,
    rating: Rating = None,
    from_: From = None,
    limit: Limit = 200,
    owner: OwnerName = None,
    every_owner: AllOwners = False,
) -> Reply:
    """Save the files of artifacts, by their ids or by a filter, as one ZIP file."""
    whose = choose_owner(owner, every_owner)
    ids: Sequence[str] = artifacts or []
    if not ids:
        query = {"text": text, "model": model, "rating": rating, "from": from_, "limit": limit}
        ids = [each["id"] for each in _page(client, query, whose)["items"]]
    if not ids:
        raise CliError("no artifact matches")
    _save_zip(client, ids, output, whose)
    return {"file": str(output), "artifacts": len(ids)}, f"{output}: {len(ids)} artifacts"


def _page(client: Client, query: Mapping[str, Any], whose: Mapping[str, str]) -> Any:
    given = {name: value for name, value in query.items() if value}
    return client.get(_PATH, **given, **whose)


def _save_zip(client: Client, ids: Sequence[str], output: Path, whose: Mapping[str, str]) -> None:
    """Write the ZIP file. Raises `CliError`."""
    import httpx2

    given: dict[str, Any] = {"params": whose, "json": {"ids": list(ids)}, "timeout": _ZIP_TIMEOUT_S}
    try:
        with client.http.stream("POST", f"{_PATH}/zip", **given) as response:
            if not response.is_success:
                response.read()
                parse_response(response)
            output.parent.mkdir(parents=True, exist_ok=True)
            with output.open("wb") as file:
                for chunk in response.iter_bytes():
                    file.write(chunk)
    except OSError as error:
        raise CliError(f"{output} cannot be written: {error.strerror}", UNUSABLE) from error
    except httpx2.HTTPError as error:
        raise client.connection_error(error) from error


def _table(items: Sequence[Mapping[str, Any]]) -> Any:
    table = make_table("ARTIFACT", "CREATED", "SIZE", "SEED", "RATING", "JOB", "PROMPT")
    for item in items:
        table.add_row(
            item["id"],
            item["createdAt"][:19].replace("T", " "),
            f"{item['width']} x {item['height']}",
            "" if item["seed"] is None else str(item["seed"]),
            str(item["rating"] or ""),
            item["job"],
            item["prompt"][:_PROMPT_CHARS],
        )
    return table
