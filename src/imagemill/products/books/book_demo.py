"""``imagemill books demo``: the sample book on a temporary server, from a photo to the print files."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from imagemill.cli.output import CliError, Json, Printer

if TYPE_CHECKING:
    from imagemill.cli.client import Client
    from imagemill.products.books.page_progress import BookDisplay

SAMPLE_PHOTO = Path(__file__).parent / "sample" / "photo.jpg"
"""A drawn photo of a child that is no real person."""
_PACKAGES = ("typst", "pikepdf", "pypdfium2", "cv2", "dlib")
_SHOP = "the demo"


def demo(
    photo: Annotated[
        Path | None,
        typer.Argument(help="A photo of a child; default: the drawn one of the package.", metavar="[PHOTO]"),
    ] = None,
    output: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the book, its pages and the server's log.")
    ] = Path("demo-book"),
    book: Annotated[
        str | None, typer.Option("--book", help="A book of the package; default: the first.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="The name of the child.")] = None,
    age: Annotated[int, typer.Option("--age", min=0, max=120, help="Years.")] = 5,
    gender: Annotated[
        Literal["boy", "girl", "neutral"], typer.Option("--gender", help="Chooses the forms of the text.")
    ] = "girl",
    language: Annotated[
        str, typer.Option("--language", help="A language of the book, such as uk or en.")
    ] = "uk",
    keep: Annotated[bool, typer.Option("--keep", help="Also keep the demo server's data folder.")] = False,
    as_json: Json = False,
) -> None:
    """Make the sample book on a temporary server: from a photo, page by page, to the print files."""
    out = Printer(as_json)
    with out.reporting():
        _check_extras()
        source = photo or SAMPLE_PHOTO
        if not source.expanduser().is_file():
            raise CliError(f"{source} is no file; name a photo, or none for the drawn one")
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CliError(f"{output} cannot be written: {error.strerror}") from error
        child = {
            "childName": name or ("Марійка" if language == "uk" else "Mary"),
            "childAge": age,
            "childGender": gender,
            "language": language,
        }
        _run(out, output, source, book, child, keep=keep)


def _check_extras() -> None:
    """Raise `CliError` that names the extra and the command where a package of books is missing."""
    from imagemill.domain.errors import MissingExtra

    try:
        for module in _PACKAGES:
            MissingExtra.check(module, "books", "a printed book")
    except MissingExtra as error:
        raise CliError(str(error)) from error


def _run(
    out: Printer, output: Path, photo: Path, book: str | None, child: dict[str, Any], *, keep: bool
) -> None:
    from imagemill.cli.demo_server import demo_server
    from imagemill.products.books.page_progress import open_display

    _say_head(out)
    began = time.monotonic()
    with demo_server(output.absolute(), keep=keep) as server:
        _say_step(out, "server", f"{server.client.url}, ready in {server.ready_s:.1f} s")
        slug = book or server.client.get("/api/v1/books")["items"][0]["slug"]
        with open_display(out) as display:
            made = _Maker(out, server.client, display).make(slug, photo, child)
        files = _save_all(server.client, made, output)
    took_s = time.monotonic() - began
    if out.as_json:
        out.json({"book": slug, "seconds": round(took_s, 1), "files": [str(file) for file in files]})
        return
    _say_step(out, "files", f"{output.absolute()}")
    for file in files:
        if file.parent == output:
            out.say(f"              {file.name:<16} {file.stat().st_size / 2**20:6.1f} MiB")
    out.say(f"              pages/           {len(files) - len(list(output.glob('*.pdf')))} pictures")
    out.say(f"\n  {took_s:.0f} s from the start of the server to the print files\n")


class _Maker:
    """Makes one book, step by step as a shop and a parent would."""

    def __init__(self, out: Printer, client: "Client", display: "BookDisplay") -> None:
        self._out = out
        self._client = client
        self._display = display

    def make(self, slug: str, photo: Path, child: dict[str, Any]) -> dict[str, Any]:
        from imagemill.products.books.book_client import move, start_book

        client = self._client
        book = client.get(f"/api/v1/books/{slug}")
        titles = book["title"]
        title = titles.get(child["language"]) or next(iter(titles.values()))
        _say_step(self._out, "book", f"{title}: {book['pages']} pages, for {child['childName']}")
        id_ = start_book(client, slug, {"photo": photo}, _SHOP)["id"]
        self._wait(id_, "reference", ("reference_ready",))
        move(client, id_, "reference/approve")
        move(client, id_, "generate", child)
        self._wait(id_, "preview", ("preview_ready",))
        move(client, id_, "unlock")
        self._wait(id_, "pages", ("proof_ready", "completed"))
        move(client, id_, "approve", {"who": _SHOP})
        return self._wait(id_, "print files", ("completed",))

    def _wait(self, id_: str, name: str, states: tuple[str, ...]) -> dict[str, Any]:
        from imagemill.products.books.page_progress import watch

        began = time.monotonic()
        book = watch(self._client, self._display, id_, states)
        _say_step(self._out, name, f"ready in {time.monotonic() - began:.1f} s")
        return book


def _save_all(client: "Client", book: dict[str, Any], output: Path) -> list[Path]:
    """Save the files of a book and the picture of each page; return their paths."""
    from imagemill.products.books.book_client import FILES, ROOT, save, save_file
    from imagemill.products.books.page_progress import page_name

    saved: list[Path] = []
    for kind in ("pdf", "cover", "spreads", "proof"):
        saved.append(output / FILES[kind][1])
        save_file(client, book["id"], kind, saved[-1])
    pages = output / "pages"
    pages.mkdir(exist_ok=True)
    urls = {"reference": f"{ROOT}/{book['id']}/reference/picture"}
    for page in book["pages"]:
        urls[page_name(page["page"])] = f"{ROOT}/{book['id']}/pages/{page['page']}/picture"
    for name, url in urls.items():
        saved.append(pages / _file_name(name))
        save(client, url, saved[-1])
    return saved


def _file_name(name: str) -> str:
    """Return the name of a picture: ``page-03.jpg``, so that names are in the order of the pages."""
    word, _, number = name.rpartition(" ")
    return (
        f"{word.replace(' ', '-')}-{int(number):02}.jpg"
        if number.isdigit()
        else f"{name.replace(' ', '-')}.jpg"
    )


def _say_head(out: Printer) -> None:
    from rich.text import Text

    head = ("  Imagemill books", "bold"), ("  one photo, a printed book, on this machine only\n", "dim")
    out.say(Text.assemble("\n", *head))


def _say_step(out: Printer, name: str, text: str) -> None:
    from rich.text import Text

    out.say(Text.assemble(("  ✓ ", "green"), (f"{name:<12}", "dim"), text))
