"""``imagemill books``: start books, follow them page by page, approve and fetch them."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from imagemill.cli.client import ApiError, Client, Reply, client_command, parse_response, quote_segment
from imagemill.cli.follow import server_events
from imagemill.cli.jobs import choose_owner
from imagemill.cli.output import REFUSED, UNUSABLE, CliError, OtherOwner, Printer, make_table, table_of
from imagemill.products.books.book_client import (
    BOOKS,
    FILES,
    READ_TIMEOUT_S,
    ROOT,
    move,
    read_book,
    save_file,
    start_book,
)
from imagemill.products.books.book_demo import demo
from imagemill.products.books.page_progress import page_name, reason, wait_for

commands = typer.Typer(
    help="Picture books with a child as the hero: from one photo to the print files.", no_args_is_help=True
)
commands.command()(demo)

_RETRY_DELAY_S = 0.5
Kind = Literal["pdf", "cover", "spreads", "proof", "zip"]
Id = Annotated[str, typer.Argument(help="The id, from `start` or `list`.", metavar="ID")]
PageNumber = Annotated[
    int, typer.Argument(help="The number of the page; 0 is the reference sheet.", metavar="PAGE", min=0)
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Whether to wait and show the pages.")]


# The catalogue


@commands.command()
@client_command
def catalogue(
    client: Client,
    slug: Annotated[str | None, typer.Argument(help="Show one book.", metavar="[BOOK]")] = None,
) -> Reply:
    """List the books that are offered, or show one."""
    if slug is not None:
        return (book := client.get(f"{BOOKS}/{quote_segment(slug)}")), _facts(book)
    found: list[dict[str, Any]] = []
    page: dict[str, Any] = {"next": None}
    while True:
        page = client.get(BOOKS, limit=200, **({"cursor": page["next"]} if page["next"] else {}))
        found += page["items"]
        if page["next"] is None:
            break
    rows = [
        {
            "book": each["slug"],
            "title": _first(each["title"]),
            "pages": each["pages"],
            "preview": each["previewPages"],
            "languages": each["languages"],
        }
        for each in found
    ]
    return {"items": found}, table_of(rows) if rows else "no book is offered"


def _first(texts: Mapping[str, str]) -> str:
    return texts.get("en") or next(iter(texts.values()), "")


def _facts(book: Mapping[str, Any]) -> list[str]:
    people = ", ".join(f"{each['id']} ({each['role']})" for each in book["people"])
    return [
        _first(book["title"]),
        f"  languages  {', '.join(book['languages'])}",
        f"  people     {people}",
        f"  pages      {book['pages']}, {book['pagesWithFace']} with a face",
        f"  preview    {book['previewPages']} pages",
        f"  profile    {book['profile']}",
    ]


@commands.command()
def check(
    folder: Annotated[
        Path,
        typer.Argument(help="The folder of a book, with book.toml or book.json, or a folder of books."),
    ],
) -> None:
    """Check the manifest and the files of a book; the exit status is 1 if something is wrong."""
    from imagemill.domain.errors import InvalidInput
    from imagemill.products.books.book_catalogue import write_problem
    from imagemill.products.books.book_checks import check_folder

    out = Printer()
    with out.reporting():
        try:
            checks = check_folder(folder)
        except InvalidInput as error:
            raise CliError(str(error)) from error
        for each in checks:
            for warning in each.warnings:
                out.say(f"{each.folder}: warning: {write_problem(warning)}")
            if each.manifest is not None and not each.problems:
                count = len(each.manifest.pages)
                out.say(f"{each.folder}: {each.manifest.slug} has {count} pages and no problems")
        found = [(each.folder, problem) for each in checks for problem in each.problems]
        if found:
            lines = tuple(f"{place}: {write_problem(problem)}" for place, problem in found)
            raise CliError(f"{folder}: {len(lines)} problems", REFUSED, details=lines)


# Books in the making


@commands.command("list")
@client_command
def list_(
    client: Client,
    book: Annotated[str | None, typer.Option("--book", help="Only those of this book.")] = None,
    state: Annotated[str | None, typer.Option("--state", help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="Most that are listed.")] = 20,
    cursor: Annotated[
        str | None, typer.Option(help="Continue a list: the value `next` of the page before.")
    ] = None,
    owner: OtherOwner = None,
    every_owner: Annotated[
        bool, typer.Option("--all", help="Books of all owners; needs the scope jobs:all.")
    ] = False,
) -> Reply:
    """List books in the making, newest first."""
    query = {
        "book": book,
        "state": state,
        "limit": limit,
        "cursor": cursor,
        **choose_owner(owner, every_owner),
    }
    page = client.get(ROOT, **{name: value for name, value in query.items() if value})
    rows = [
        {
            "id": each["id"],
            **({"owner": each["owner"]} if owner or every_owner else {}),
            "book": each["book"],
            "state": each["state"],
            "pages": f"{each['done']}/{each['total']}",
            "created": each["createdAt"][:19],
        }
        for each in page["items"]
    ]
    more = [f"\nmore: imagemill books list --cursor {page['next']}"] if page["next"] else []
    return page, [table_of(rows), *more] if rows else "no books yet; start one: imagemill books start"


@commands.command()
@client_command
def show(client: Client, id: Id) -> Reply:
    """Show a book: its state, each page with score and versions, its files."""
    book = read_book(client, id)
    table = make_table("PAGE", "STATE", "SCORE", "VERSION", "REDRAWS LEFT", "NOTE")
    for page in [*([book["reference"]] if book["reference"] else []), *book["pages"]]:
        score = "" if page["score"] is None else f"{page['score']:.2f}"
        version = f"{page['version'] or ''} of {len(page['versions'])}" if page["versions"] else ""
        note = "flagged" if page["flagged"] else ""
        row = (page_name(page["page"]), page["state"], score, version, str(page["redrawsLeft"]), note)
        table.add_row(*row)
    files = [f"  {each['kind']:<8} {each['url']}" for each in book["files"]]
    return book, [_headline(book), table, *files]


@commands.command()
@client_command
def status(client: Client, id: Id) -> Reply:
    """Show the state of a book in one line."""
    book = read_book(client, id)
    return book, _headline(book)


def _headline(book: Mapping[str, Any]) -> str:
    failed = book["state"].endswith("_failed")
    facts = [f"{book['done']} of {book['total']} pages"] if book["total"] else []
    if failed or book["problem"]:
        facts.append(reason(book))
    if book["deletedAt"]:
        facts.append(f"deleted {book['deletedAt'][:19]}")
    return ": ".join(filter(None, (f"{book['id']} {book['state']}", ", ".join(facts))))


@commands.command()
@client_command
def start(
    client: Client,
    out: Printer,
    book: Annotated[str, typer.Argument(help="The book, from `catalogue`.", metavar="BOOK")],
    photo: Annotated[Path, typer.Argument(help="A photo of the hero: JPEG, PNG or WebP.", metavar="PHOTO")],
    consent: Annotated[
        str, typer.Option("--consent", metavar="WHO", help="Who has allowed the use of the photo just now.")
    ],
    also: Annotated[
        list[str] | None,
        typer.Option("--also", metavar="CHARACTER=PHOTO", help="A photo of another character."),
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", help="The print profile; default: the book's.")
    ] = None,
    callback: Annotated[
        str | None, typer.Option("--callback", metavar="URL", help="Where each event is posted.")
    ] = None,
    wait: Wait = True,
) -> None:
    """Start a book with a photo, and wait for the reference sheet."""
    photos = {"photo": photo, **{f"photo.{name}": path for name, path in map(_other_photo, also or ())}}
    found = start_book(client, book, photos, consent, profile=profile, callback=callback)
    if not out.as_json:
        out.say(f"book {found['id']} is started")
    if wait:
        found = wait_for(client, out, found["id"], ("reference_ready",))
    _print(out, found)


def _other_photo(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise CliError(f"--also: {text!r} is not CHARACTER=PHOTO", UNUSABLE)
    return name, Path(path)


@commands.command("approve-reference")
@client_command
def approve_reference(
    client: Client,
    id: Id,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="A version; default: the current one.")
    ] = None,
) -> Reply:
    """Approve how the hero looks."""
    book = move(client, id, "reference/approve", {} if version is None else {"version": version})
    return book, f"the reference of {id} is approved; now: imagemill books generate {id} --name NAME --age N"


@commands.command()
@client_command
def generate(
    client: Client,
    out: Printer,
    id: Id,
    name: Annotated[str, typer.Option("--name", help="The name of the child.")],
    age: Annotated[int, typer.Option("--age", min=0, help="Years.")],
    gender: Annotated[
        Literal["boy", "girl", "neutral"], typer.Option("--gender", help="Chooses the forms of the text.")
    ] = "neutral",
    language: Annotated[str, typer.Option("--language", help="A language of the book.")] = "en",
    wait: Wait = True,
) -> None:
    """Make the pages of the preview, or those that are missing."""
    body = {"childName": name, "childAge": age, "childGender": gender, "language": language}
    book = move(client, id, "generate", body)
    _print(out, wait_for(client, out, id, ("preview_ready",)) if wait else book)


@commands.command()
@client_command
def redraw(
    client: Client,
    out: Printer,
    id: Id,
    page: PageNumber,
    feedback: Annotated[str, typer.Argument(help="One sentence about what should be different.")] = "",
    wait: Wait = True,
) -> None:
    """Draw another version of a page, or of the reference sheet (page 0)."""
    path = f"pages/{page}/redraw" if page else "reference/redraw"
    book = move(client, id, path, {"feedback": feedback})
    if wait:
        goal = ("reference_ready",) if page == 0 else ("preview_ready", "proof_ready", "completed")
        book = wait_for(client, out, id, goal)
    _print(out, book)


@commands.command()
@client_command
def choose(
    client: Client,
    id: Id,
    page: PageNumber,
    version: Annotated[int, typer.Argument(help="The version to print.", metavar="VERSION", min=1)],
) -> Reply:
    """Take an earlier version of a page."""
    book = move(client, id, f"pages/{page}/choose", {"version": version})
    return book, f"{page_name(page)}: version {version}"


@commands.command()
@client_command
def unlock(client: Client, out: Printer, id: Id, owner: OtherOwner = None, wait: Wait = True) -> None:
    """Make all pages, since the book is paid. Needs a key with the scope books:unlock."""
    query = {"owner": owner} if owner else {}
    book = client.post(f"{ROOT}/{quote_segment(id)}/unlock", **query)
    if wait and owner is None:
        book = wait_for(client, out, id, ("proof_ready", "completed"))
    _print(out, book)


@commands.command()
@client_command
def approve(
    client: Client,
    out: Printer,
    id: Id,
    who: Annotated[str, typer.Option("--who", help="The person who approves; stands in the record.")],
    wait: Wait = True,
) -> None:
    """Approve a book for print, and make the print files."""
    book = move(client, id, "approve", {"who": who})
    _print(out, wait_for(client, out, id, ("completed",)) if wait else book)


@commands.command()
@client_command
def share(
    client: Client,
    id: Id,
    days: Annotated[int, typer.Option("--days", min=1, max=90, help="Days until the link expires.")] = 14,
) -> Reply:
    """Make a link by which others may read the book; an earlier link ends."""
    link = move(client, id, "share", {"days": days})
    return link, f"{link['url']}\n  expires {link['expiresAt'][:19]}"


@commands.command()
@client_command
def unshare(client: Client, id: Id) -> Reply:
    """End the link by which others may read the book."""
    book = client.delete(f"{ROOT}/{quote_segment(id)}/share")
    return book, f"{id} is not shared"


@commands.command()
@client_command
def pdf(
    client: Client,
    id: Id,
    kind: Annotated[Kind, typer.Option("--kind", help="Which file.")] = "pdf",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; default: book.pdf and so on.")
    ] = None,
) -> Reply:
    """Save the print file, or another file of a book."""
    path = output or Path(FILES[kind][1])
    size = save_file(client, id, kind, path)
    return {"path": str(path), "bytes": size}, f"{path}  {size / 2**20:.1f} MiB"


@commands.command()
@client_command
def cancel(client: Client, id: Id) -> Reply:
    """Cancel a book; what was made so far stays until it is deleted."""
    return move(client, id, "cancel"), f"{id} is canceled"


@commands.command()
@client_command
def delete(
    client: Client,
    id: Id,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> Reply:
    """Delete the photo and everything that was made from it."""
    if not yes:
        typer.confirm(f"Delete book {id} with its photo, pages and print files?", abort=True)
    body = client.delete(f"{ROOT}/{quote_segment(id)}")
    return body, f"{id} is being deleted; `imagemill books events {id}` shows the proof"


@commands.command()
@client_command
def events(
    client: Client,
    out: Printer,
    id: Id,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more.")] = False,
) -> None:
    """Show the events of a book."""
    if not follow:
        for event in client.get(f"{ROOT}/{quote_segment(id)}/events", stream="false")["items"]:
            _print_event(out, event)
        return
    seen: dict[str, None] = {}
    while True:
        ended = _follow_once(client, out, id, seen)
        if ended and read_book(client, id)["state"] in ("completed", "canceled"):
            return
        time.sleep(_RETRY_DELAY_S)


def _follow_once(client: Client, out: Printer, id_: str, seen: dict[str, None]) -> bool:
    """Print the events after the last of ``seen``; return whether the server has ended the stream."""
    import httpx2

    headers = {"Accept": "text/event-stream", "Last-Event-ID": next(reversed(seen), "")}
    timeout = httpx2.Timeout(10.0, read=READ_TIMEOUT_S)
    path = f"{ROOT}/{quote_segment(id_)}/events"
    try:
        with client.http.stream("GET", path, headers=headers, timeout=timeout) as response:
            if not response.is_success:
                response.read()
                parse_response(response)
            for event in server_events(response.iter_lines()):
                if event.id and event.id not in seen:
                    seen[event.id] = None
                    _print_event(out, event.data)
        return True
    except ApiError as error:
        if error.status_code < 500:
            raise
    except httpx2.HTTPError as error:
        if not seen:
            raise client.connection_error(error) from error
    return False


def _print_event(out: Printer, event: Mapping[str, Any]) -> None:
    if out.as_json:
        out.json(event)
        return
    data = event["data"]
    facts = [page_name(data["page"])] if "page" in data else []
    facts += [
        f"{name} {value}" for name, value in data.items() if name != "page" and value not in (None, False)
    ]
    out.say(f"{event['at'][:19]}  {event['type']:<18} {', '.join(facts)}".rstrip())


def _print(out: Printer, book: Mapping[str, Any]) -> None:
    if out.as_json:
        out.json(book)
    else:
        out.say(_headline(book))
