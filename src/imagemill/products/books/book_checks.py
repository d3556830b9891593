"""The reading of one book's folder, and all checks of its manifest and files.

Every problem has the path of its place in the manifest, such as ``pages[3].text_layers[0].position``.
"""

import json
import os
import re
import stat
import tomllib
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import FieldError, InvalidInput
from imagemill.media.intake import parse
from imagemill.media.layout import InvalidImage
from imagemill.products.books.book_manifest import BookManifest, Fonts, Illustration, TextLayer
from imagemill.products.books.layout import profiles
from imagemill.products.books.layout.profiles import PageRules
from imagemill.products.books.texts import check_text
from imagemill.web.body_fields import field_errors

MANIFEST_FILES = ("book.toml", "book.json")
_MOST_MANIFEST_BYTES = 2**20
_MOST_DOTS = 30
_MOST_DEPTH = 16
"""Most objects and lists within each other; a manifest has seven."""
_MOST_PICTURE_BYTES = 64 * 2**20
_MOST_FONT_BYTES = 32 * 2**20
_MOST_PIXELS = 100_000_000
_LEAST_SIDE_PX = 64
_RATIO_TOLERANCE = 0.01
_WHITE = 128
_SMALL_FACE_PX = 300
"""An inch at 300 dpi."""
_MOST_LISTED = 5000
_BUILT_IN_SCRIPTS = ("LATIN", "CYRILLIC", "GREEK")
"""The scripts of the font family that the package brings, as Unicode names of letters begin."""


@dataclass(frozen=True, slots=True)
class AssetFile:
    """A file that a manifest names."""

    path: str
    sha256: str
    size: int
    pixels: tuple[int, int] | None = None
    """Width and height of a picture."""


@dataclass(frozen=True, slots=True)
class ReadBook:
    """A folder as it was read: the manifest if it is valid by itself, its files, and all problems."""

    manifest: BookManifest | None
    files: Mapping[str, AssetFile]
    digest: str
    """Identifies the manifest together with the contents of its files."""
    problems: tuple[FieldError, ...]


class _Refused(Exception):
    """The manifest cannot be read at all; the message says why."""


def read_folder(folder: Path, slug: str) -> ReadBook:
    """Read and check a book's folder. Nothing outside of the folder is opened."""
    try:
        content, data = _read_manifest(folder)
    except _Refused as error:
        return ReadBook(None, {}, "", (FieldError("", str(error)),))
    try:
        manifest = BookManifest.model_validate(content)
    except ValidationError as error:
        return ReadBook(None, {}, "", tuple(field_errors(error, BookManifest)))
    problems = list(check_manifest(manifest, slug))
    files: dict[str, AssetFile] = {}
    for place, path, kind in _named_files(manifest):
        problems.extend(_check_file(folder, place, path, kind, files))
    problems.extend(_check_pictures(manifest, files))
    digest = sha256(data)
    for path in sorted(files):
        digest.update(f"\0{path}\0{files[path].sha256}".encode())
    return ReadBook(manifest, files, digest.hexdigest(), tuple(problems))


def manifest_path(folder: Path) -> Path | None:
    """Return the manifest of a folder, or None if the folder has none."""
    return next((folder / name for name in MANIFEST_FILES if (folder / name).is_file()), None)


def _read_manifest(folder: Path) -> tuple[dict[str, Any], bytes]:
    found = [name for name in MANIFEST_FILES if (folder / name).is_file()]
    if not found:
        raise _Refused(f"the folder has no {' or '.join(MANIFEST_FILES)}")
    if len(found) > 1:
        raise _Refused(f"the folder has {' and '.join(found)}; keep one of them")
    try:
        data = read_inside(folder, found[0], _MOST_MANIFEST_BYTES)
        text = data.decode("utf-8-sig")
        content = _parse_toml(text) if found[0].endswith(".toml") else json.loads(text)
    except InvalidImage as error:
        raise _Refused(f"{found[0]} {error}") from None
    except (ValueError, RecursionError) as error:
        raise _Refused(f"{found[0]} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise _Refused(f"{found[0]} is not an object with the fields of a book")
    if _is_deeper(content, _MOST_DEPTH):
        raise _Refused(f"{found[0]} has more than {_MOST_DEPTH} objects within each other")
    return content, data


def _parse_toml(text: str) -> dict[str, Any]:
    # The time that tomllib takes for a dotted key grows with the cube of its parts.
    if any(piece.count(".") > _MOST_DOTS for piece in re.split(r"[=,{}\[\]\n]", text)):
        raise ValueError(f"a key has more than {_MOST_DOTS} dots, or a text has them without a comma between")
    return tomllib.loads(text)


def _is_deeper(content: object, most: int) -> bool:
    level: list[object] = [content]
    for _ in range(most + 1):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())
        ]
        if not level:
            return False
    return True


def read_inside(folder: Path, path: str, most_bytes: int) -> bytes:
    """Return a file of a folder. Raises `InvalidImage`; its message follows the file's name in a sentence."""
    target = folder / path
    try:
        if _has_link(folder, path) and not target.resolve(strict=True).is_relative_to(folder.resolve()):
            raise InvalidImage("is outside of the book's folder; copy it into the folder")
        # A pipe or device would block; the check is on the opened file, so it cannot be exchanged.
        with open(os.open(target, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise InvalidImage("is not a regular file")
            if status.st_size > most_bytes:
                raise InvalidImage(f"has {status.st_size} bytes; at most {most_bytes} are read")
            return file.read(most_bytes)
    except FileNotFoundError:
        raise InvalidImage("does not exist in the book's folder") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symbolic links
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidImage(f"cannot be read: {reason}") from None


def _has_link(folder: Path, path: str) -> bool:
    """Whether a file is a symbolic link, or below one; a path without links cannot leave the folder."""
    current = str(folder)
    for part in path.split("/"):
        current = f"{current}/{part}"
        if os.path.islink(current):
            return True
    return False


def _named_files(manifest: BookManifest) -> Iterator[tuple[str, str, str]]:
    """Yield place, path and kind (base, mask or font) of each file that a manifest names."""
    for place, illustration in illustrations(manifest):
        yield f"{place}.base", illustration.base, "base"
        for position, each in enumerate(illustration.characters):
            if each.mask is not None:
                yield f"{place}.characters[{position}].mask", each.mask, "mask"
    for position, page in enumerate(manifest.fill):
        if page.base is not None:
            yield f"fill[{position}].base", page.base, "base"
    for place, fonts in _all_fonts(manifest):
        for field, path in (("regular", fonts.regular), ("bold", fonts.bold)):
            if path is not None:
                yield f"{place}.{field}", path, "font"


def _all_fonts(manifest: BookManifest) -> Iterator[tuple[str, Fonts]]:
    yield "typography.fonts", manifest.typography.fonts
    for language, fonts in manifest.typography.by_language.items():
        yield f"typography.by_language.{language}", fonts


def illustrations(manifest: BookManifest) -> Iterator[tuple[str, Illustration]]:
    """Yield place and illustration: the reference sheet, both covers and all pages."""
    yield "reference", manifest.reference
    yield "covers.front", manifest.covers.front
    yield "covers.back", manifest.covers.back
    for position, page in enumerate(manifest.pages):
        yield f"pages[{position}]", page


def text_layers(manifest: BookManifest) -> Iterator[tuple[str, TextLayer]]:
    """Yield place and text layer, of covers, pages and fill pages."""
    owners = chain(
        (("covers.front", manifest.covers.front), ("covers.back", manifest.covers.back)),
        ((f"pages[{position}]", page) for position, page in enumerate(manifest.pages)),
        ((f"fill[{position}]", page) for position, page in enumerate(manifest.fill)),
    )
    for place, owner in owners:
        for position, layer in enumerate(owner.text_layers):
            yield f"{place}.text_layers[{position}]", layer


def _all_texts(manifest: BookManifest) -> Iterator[tuple[str, Mapping[str, str]]]:
    yield "title", manifest.title
    if manifest.description:
        yield "description", manifest.description
    if manifest.covers.spine.text:
        yield "covers.spine.text", manifest.covers.spine.text
    for place, layer in text_layers(manifest):
        yield f"{place}.text", layer.text


def check_manifest(manifest: BookManifest, slug: str) -> Iterator[FieldError]:
    """Yield the problems of a manifest that need no file."""
    if manifest.slug != slug:
        yield FieldError("slug", f"is {manifest.slug}, but the folder is named {slug}; use the same name")
    if repeated := _repeated(manifest.languages):
        yield FieldError("languages", f"names {repeated} twice")
    yield from _check_characters(manifest)
    yield from _check_pages(manifest)
    yield from _check_texts(manifest)
    for position, page in enumerate(manifest.fill):
        if page.kind == "blank" and (page.base is not None or page.text_layers):
            yield FieldError(f"fill[{position}]", "is blank, so it has neither a base nor a text")
    for language in manifest.typography.by_language:
        if language not in manifest.languages:
            yield FieldError(f"typography.by_language.{language}", "is not one of the book's languages")


def _repeated(values: Sequence[str]) -> str | None:
    return next((each for position, each in enumerate(values) if each in values[:position]), None)


def _check_characters(manifest: BookManifest) -> Iterator[FieldError]:
    ids = [each.id for each in manifest.characters]
    if repeated := _repeated(ids):
        yield FieldError("characters", f"has two characters with the id {repeated}")
    heroes = sum(each.role == "hero" for each in manifest.characters)
    if heroes != 1:
        yield FieldError("characters", f"has {heroes} characters with the role hero; a book has one")
    if not any(each.needs_photo for each in manifest.characters):
        yield FieldError("characters", "has nobody with needs_photo, so the book shows no child's face")
    for place, illustration in illustrations(manifest):
        named = [each.id for each in illustration.characters]
        for position, each in enumerate(named):
            if each not in ids:
                yield FieldError(
                    f"{place}.characters[{position}].id", f"is {each}; the book has {', '.join(ids)}"
                )
        # The reference sheet shows the hero from several sides.
        if place != "reference" and (repeated := _repeated(named)):
            yield FieldError(f"{place}.characters", f"names {repeated} twice")
        for field in ("prompt", "negative_prompt"):
            yield from _check_prompt(f"{place}.{field}", getattr(illustration, field))


def _check_prompt(place: str, prompt: str) -> Iterator[FieldError]:
    try:
        check_text(prompt, "en")
    except ValueError as error:
        yield FieldError(place, str(error))
    if "{child_name}" in prompt:
        yield FieldError(place, "has {child_name}; the name of a child is not sent to a model")


def _check_pages(manifest: BookManifest) -> Iterator[FieldError]:
    for position, page in enumerate(manifest.pages):
        if page.page_num != position + 1:
            yield FieldError(
                f"pages[{position}].page_num",
                f"is {page.page_num}; pages stand in order and count from 1, so it is {position + 1}",
            )
        if not (page.availability.preview or page.availability.full):
            yield FieldError(
                f"pages[{position}].availability", "is neither preview nor full, so nobody sees it"
            )


def _check_texts(manifest: BookManifest) -> Iterator[FieldError]:
    for place, texts in _all_texts(manifest):
        if missing := [each for each in manifest.languages if each not in texts]:
            yield FieldError(place, f"is missing in {', '.join(missing)}")
        for language, text in texts.items():
            where = f"{place}.{language}"
            if language not in manifest.languages:
                yield FieldError(where, f"is in a language that `languages` does not name: {language}")
            try:
                check_text(text, language)
            except ValueError as error:
                yield FieldError(where, str(error))
            if not _has_font(manifest, language) and (letter := _foreign_letter(text)):
                yield FieldError(
                    where,
                    f"has the letter {letter}, which the built-in font lacks; give a font in "
                    f"typography.by_language.{language}.regular",
                )


def _has_font(manifest: BookManifest, language: str) -> bool:
    fonts = manifest.typography.by_language.get(language, manifest.typography.fonts)
    return fonts.regular is not None


def _foreign_letter(text: str) -> str | None:
    """Return the first letter of a script that the built-in font lacks."""
    return next(
        (
            each
            for each in text
            if ord(each) > 0x24F
            and each.isalpha()
            and not unicodedata.name(each, "").startswith((*_BUILT_IN_SCRIPTS, "MODIFIER"))
        ),
        None,
    )


def _check_file(
    folder: Path, place: str, path: str, kind: str, files: dict[str, AssetFile]
) -> Iterator[FieldError]:
    if path in files and (files[path].pixels is None) == (kind == "font"):
        return
    try:
        data = read_inside(folder, path, _MOST_FONT_BYTES if kind == "font" else _MOST_PICTURE_BYTES)
        pixels = None if kind == "font" else _picture_size(data)
    except InvalidImage as error:
        yield FieldError(place, f"{path} {error}")
        return
    files[path] = AssetFile(path, sha256(data).hexdigest(), len(data), pixels)
    if kind == "font" and (reason := _font_problem(data)):
        yield FieldError(place, f"{path} {reason}")


def _picture_size(data: bytes) -> tuple[int, int]:
    parsed = parse(data)
    if parsed.width * parsed.height > _MOST_PIXELS:
        raise InvalidImage(f"has {parsed.width} x {parsed.height} pixels; at most {_MOST_PIXELS} are decoded")
    if min(parsed.width, parsed.height) < _LEAST_SIDE_PX:
        raise InvalidImage(f"has {parsed.width} x {parsed.height} pixels; it is too small to print")
    if parsed.orientation != 1:
        raise InvalidImage("is turned by its EXIF orientation; save it upright")
    return parsed.width, parsed.height


def _font_problem(data: bytes) -> str | None:
    if data[:4] not in (b"\0\1\0\0", b"OTTO", b"true", b"ttcf"):
        return "is no TrueType or OpenType font; convert it to .ttf or .otf"
    from PIL import ImageFont

    try:
        ImageFont.truetype(BytesIO(data), 12)
    except OSError:
        return "is a damaged font"
    return None


def _check_pictures(manifest: BookManifest, files: Mapping[str, AssetFile]) -> Iterator[FieldError]:
    across, down = (int(each) for each in manifest.ratio.split(":"))
    least = _needed_pixels(manifest, lambda page: page.least_dpi)
    for place, path, kind in _named_files(manifest):
        pixels = files[path].pixels if path in files else None
        if kind == "font" or pixels is None:
            continue
        if kind == "base" and (pixels[0] < least[0] or pixels[1] < least[1]):
            yield FieldError(
                place,
                f"{path} has {pixels[0]} x {pixels[1]} pixels; the profile {manifest.profile} needs at least "
                f"{least[0]} x {least[1]}",
            )
        if abs(pixels[0] / pixels[1] * down / across - 1) > _RATIO_TOLERANCE:
            yield FieldError(
                place, f"{path} has {pixels[0]} x {pixels[1]} pixels, which is not the ratio {manifest.ratio}"
            )


def _needed_pixels(manifest: BookManifest, dpi: Callable[[PageRules], int]) -> tuple[int, int]:
    """Return the size of a page with its bleed; 0 for a profile that the package does not bring."""
    profile = profiles.load().get(manifest.profile)
    if profile is None:
        return 0, 0
    page, bleed = profile.page, profile.page.bleed
    width = page.width + bleed.outer + bleed.inner
    height = page.height + bleed.top + bleed.bottom
    # Rounded down: a picture that is short of a part of a pixel is large enough.
    return int(width / profiles.MM_PER_INCH * dpi(page)), int(height / profiles.MM_PER_INCH * dpi(page))


@dataclass(frozen=True, slots=True)
class BookCheck:
    """The result of checking a book's folder for its publisher."""

    folder: Path
    manifest: BookManifest | None
    problems: tuple[FieldError, ...]
    """With these the book is not offered."""
    warnings: tuple[FieldError, ...]
    """These are worth a look; the book is offered."""


def check_folder(folder: Path) -> tuple[BookCheck, ...]:
    """Check one book's folder, or each book in a folder of books; every picture is decoded.

    Raises `InvalidInput` if there is neither a manifest nor a folder with one.
    """
    if manifest_path(folder) is not None:
        return (_check_book(folder),)
    inner = sorted(each for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []
    books = [each for each in inner if manifest_path(each) is not None]
    if not books:
        raise InvalidInput.at(
            str(folder), f"has no {' or '.join(MANIFEST_FILES)}, and no folder with one; name a book's folder"
        )
    return tuple(map(_check_book, books))


def _check_book(folder: Path) -> BookCheck:
    read = read_folder(folder, folder.resolve().name)
    if read.manifest is None:
        return BookCheck(folder, None, read.problems, ())
    damaged = tuple(_check_decoding(folder, read.manifest, read.files))
    warnings = tuple(_find_warnings(folder, read.manifest, read.files))
    return BookCheck(folder, read.manifest, (*read.problems, *damaged), warnings)


def _check_decoding(
    folder: Path, manifest: BookManifest, files: Mapping[str, AssetFile]
) -> Iterator[FieldError]:
    from PIL import Image

    seen: set[tuple[str, str]] = set()
    for place, path, kind in _named_files(manifest):
        if kind == "font" or path not in files or (path, kind) in seen:
            continue
        seen.add((path, kind))
        try:
            data = read_inside(folder, path, _MOST_PICTURE_BYTES)
            with Image.open(BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as picture:
                picture.load()
                white = picture.convert("L").histogram()[_WHITE:]
        except (InvalidImage, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            yield FieldError(place, f"{path} cannot be decoded: {error}")
            continue
        if kind == "mask" and not any(white):
            yield FieldError(place, f"{path} has no white area, so no face could be put there")


def _find_warnings(
    folder: Path, manifest: BookManifest, files: Mapping[str, AssetFile]
) -> Iterator[FieldError]:
    wanted = _needed_pixels(manifest, lambda page: page.dpi)
    if wanted == (0, 0):
        yield FieldError("profile", f"{manifest.profile} is no profile of the package; sizes are not checked")
    for place, path, kind in _named_files(manifest):
        pixels = files[path].pixels if path in files else None
        if kind == "base" and pixels and (pixels[0] < wanted[0] or pixels[1] < wanted[1]):
            yield FieldError(
                place,
                f"{path} has {pixels[0]} x {pixels[1]} pixels; {wanted[0]} x {wanted[1]} print sharply",
            )
    yield from _find_other_families(folder, manifest, files)
    yield from _find_weak_faces(manifest, files)
    if not any(manifest.faces(page) for page in manifest.preview_pages):
        yield FieldError("pages", "has no page with a face in the preview, which parents decide by")
    yield from _find_page_count(manifest)
    if unused := sorted(_all_files(folder) - files.keys() - set(MANIFEST_FILES)):
        names = ", ".join(unused[:5]) + (f" and {len(unused) - 5} more" if len(unused) > 5 else "")
        yield FieldError("", f"the manifest names no {names}")


def _find_other_families(
    folder: Path, manifest: BookManifest, files: Mapping[str, AssetFile]
) -> Iterator[FieldError]:
    from PIL import ImageFont

    for place, fonts in _all_fonts(manifest):
        for path in (fonts.regular, fonts.bold):
            if path is None or path not in files:
                continue
            try:
                data = read_inside(folder, path, _MOST_FONT_BYTES)
                family, _ = ImageFont.truetype(BytesIO(data), 12).getname()
            except (InvalidImage, OSError):
                continue  # it is among the problems
            if family and family.casefold() != fonts.family.casefold():
                yield FieldError(
                    f"{place}.family", f"is {fonts.family}, but {path} is of the family {family}"
                )


def _find_weak_faces(manifest: BookManifest, files: Mapping[str, AssetFile]) -> Iterator[FieldError]:
    for place, illustration in illustrations(manifest):
        pixels = files[illustration.base].pixels if illustration.base in files else None
        faces = manifest.faces(illustration)
        for position, each in enumerate(illustration.characters):
            where = f"{place}.characters[{position}]"
            if each not in faces:
                continue
            if each.box is None and each.mask is None:
                yield FieldError(
                    where, "has neither a box nor a mask; the face is searched for in the picture"
                )
            elif each.box is not None and pixels and each.box.width * pixels[0] < _SMALL_FACE_PX:
                width = round(each.box.width * pixels[0])
                yield FieldError(
                    f"{where}.box",
                    f"is {width} pixels wide; below {_SMALL_FACE_PX} a face is hard to recognise",
                )


def _find_page_count(manifest: BookManifest) -> Iterator[FieldError]:
    profile = profiles.load().get(manifest.profile)
    if profile is None:
        return
    count = len(manifest.pages)
    rules = profile.pages
    if count > rules.most:
        yield FieldError("pages", f"has {count} pages; the profile {manifest.profile} takes {rules.most}")
    elif count < rules.least and not manifest.fill:
        yield FieldError(
            "pages",
            f"has {count} pages; the profile {manifest.profile} needs {rules.least}; add some, or `fill`",
        )


def _all_files(folder: Path) -> set[str]:
    found: set[str] = set()
    for current, folders, names in os.walk(folder):
        folders[:] = [each for each in folders if not each.startswith(".")]
        inside = Path(current).relative_to(folder)
        found |= {(inside / name).as_posix() for name in names if not name.startswith(".")}
        if len(found) > _MOST_LISTED:
            break
    return found
