"""Print files: pictures, boxes and metadata around the text that Typst has set.

A picture's JPEG is embedded byte for byte. The same input gives the same bytes.
"""

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from xml.sax.saxutils import escape

import pikepdf
from pikepdf import Array, Dictionary, Name, Pdf, Stream, String
from PIL import Image, ImageCms

from imagemill.domain.dataclass import dataclass
from imagemill.products.books.layout.frames import Rect, Sheet
from imagemill.products.books.layout.preflight import LaidPage, PagePicture
from imagemill.products.books.layout.shadows import ShadowPicture, cast_shadow

FORMAT = "application/pdf"


@dataclass(frozen=True, slots=True)
class PdfFacts:
    """The metadata of a file, and the output intent where the profile asks for PDF/X-4."""

    title: str
    language: str
    made_at: int = 0
    """Seconds since the epoch; only PDF/X-4 holds it."""
    condition: str = ""
    icc: bytes | None = None
    """The ICC profile of the output intent; None means no PDF/X-4."""


@dataclass(frozen=True, slots=True)
class Ground:
    """The pages of a sheet with their pictures, which lie beneath its text."""

    sheet: Sheet
    pages: tuple[LaidPage, ...]
    rectangles: tuple[tuple[Rect, str], ...] = ()
    """Rectangles over the pictures, with their colours."""


def assemble(text: bytes, grounds: Sequence[Ground], facts: PdfFacts) -> bytes:
    """Return the PDF of text with pictures beneath it; it has a page for each ground."""
    with Pdf.open(io.BytesIO(text)) as pdf:
        for page, ground in zip(pdf.pages, grounds, strict=True):
            _set_boxes(page, ground.sheet)
            page.contents_add(_draw_ground(pdf, page, ground), prepend=True)
        return _save(pdf, facts)


def join(files: Sequence[bytes], facts: PdfFacts) -> bytes:
    """Return one PDF with the pages of several."""
    with Pdf.new() as pdf:
        for data in files:
            with Pdf.open(io.BytesIO(data)) as source:
                pdf.pages.extend(source.pages)
        return _save(pdf, facts)


def pair(block: bytes, facts: PdfFacts) -> bytes:
    """Return the spreads of a block for the screen: the first page alone, then pairs, without bleed."""
    with Pdf.open(io.BytesIO(block)) as source, Pdf.new() as pdf:
        # The trim box bounds a page that becomes a form, so the bleed is not seen.
        forms = [pdf.copy_foreign(page.as_form_xobject()) for page in source.pages]
        spreads = [forms[:1], *(forms[start : start + 2] for start in range(1, len(forms), 2))]
        for spread in spreads:
            _add_spread(pdf, [(form, [float(edge) for edge in form.BBox.as_list()]) for form in spread])
        return _save(pdf, PdfFacts(facts.title, facts.language))


def _add_spread(pdf: Pdf, forms: Sequence[tuple[Any, Sequence[float]]]) -> None:
    widths = [right - left for _, (left, _, right, _) in forms]
    height = max(top - bottom for _, (_, bottom, _, top) in forms)
    page = pdf.add_blank_page(page_size=(sum(widths), height))
    drawn: list[str] = []
    x = 0.0
    for (form, (left, bottom, _, _)), width in zip(forms, widths, strict=True):
        name = _add_object(page, form)
        drawn.append(f"q 1 0 0 1 {_number(x - left)} {_number(-bottom)} cm {name} Do Q")
        x += width
    page.contents_add("\n".join(drawn).encode())


def _set_boxes(page: pikepdf.Page, sheet: Sheet) -> None:
    whole = Array(sheet.whole.in_pdf(sheet.height))
    page.mediabox = whole
    page.obj[Name.CropBox] = whole
    page.obj[Name.BleedBox] = whole
    page.obj[Name.TrimBox] = Array(sheet.trim.in_pdf(sheet.height))


def _draw_ground(pdf: Pdf, page: pikepdf.Page, ground: Ground) -> bytes:
    height = ground.sheet.height
    drawn: list[str] = []
    for laid in ground.pages:
        drawn.append(f"q {_clip(laid.frame.bleed, height)} W n")
        drawn.append(f"{_colour(laid.page.background)} rg {_clip(laid.frame.bleed, height)} f")
        if laid.picture is not None:
            place = laid.frame.place_picture(laid.picture.size)
            drawn.append(_draw(page, _embed_picture(pdf, laid.picture), place, height))
        drawn.append("Q")
    drawn += [f"q {_colour(colour)} rg {_clip(rect, height)} f Q" for rect, colour in ground.rectangles]
    for block in (block for laid in ground.pages for block in laid.blocks):
        # A sharp shadow is a copy of the vector text.
        is_blurred = block.block.style.shadow is not None and block.block.style.shadow.blur > 0
        if is_blurred and (shadow := cast_shadow(block)) is not None:
            drawn.append(_draw(page, _embed_shadow(pdf, shadow), shadow.box, height))
    return "\n".join(drawn).encode()


def _draw(page: pikepdf.Page, picture: Stream, rect: Rect, sheet_height: float) -> str:
    name = _add_object(page, picture)
    bottom = sheet_height - rect.bottom
    matrix = " ".join(map(_number, (rect.width, 0, 0, rect.height, rect.left, bottom)))
    return f"q {matrix} cm {name} Do Q"


def _add_object(page: pikepdf.Page, drawn: Any) -> Name:
    """Add a picture or form to the page's resources; its name depends on its place alone."""
    known = page.resources.get(Name.XObject, Dictionary())
    return page.add_resource(drawn, Name.XObject, Name(f"/Drawn{len(known)}"))


def _clip(rect: Rect, sheet_height: float) -> str:
    return " ".join(map(_number, (rect.left, sheet_height - rect.bottom, rect.width, rect.height))) + " re"


def _number(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".")


def _colour(colour: str) -> str:
    return " ".join(_number(int(colour[start : start + 2], 16) / 255) for start in (1, 3, 5))


def _embed_picture(pdf: Pdf, picture: PagePicture) -> Stream:
    return Stream(
        pdf,
        picture.data,
        Type=Name.XObject,
        Subtype=Name.Image,
        Width=picture.size[0],
        Height=picture.size[1],
        ColorSpace=Name.DeviceRGB if picture.components == 3 else Name.DeviceGray,
        BitsPerComponent=8,
        Filter=Name.DCTDecode,
    )


def _embed_shadow(pdf: Pdf, shadow: ShadowPicture) -> Stream:
    mask = _image(pdf, shadow.mask, Name.DeviceGray)
    colour = _image(pdf, Image.new("RGB", shadow.mask.size, shadow.colour), Name.DeviceRGB)
    colour[Name.SMask] = pdf.make_indirect(mask)
    return colour


def _image(pdf: Pdf, image: Image.Image, space: Name) -> Stream:
    return Stream(
        pdf,
        image.tobytes(),
        Type=Name.XObject,
        Subtype=Name.Image,
        Width=image.width,
        Height=image.height,
        ColorSpace=space,
        BitsPerComponent=8,
        Interpolate=True,
    )


def _save(pdf: Pdf, facts: PdfFacts) -> bytes:
    for key in (Name.Metadata, Name.OutputIntents):
        if key in pdf.Root:
            del pdf.Root[key]
    pdf.Root[Name.Lang] = String(facts.language)
    pdf.Root[Name.ViewerPreferences] = Dictionary(DisplayDocTitle=True)
    pdf.trailer[Name.Info] = pdf.make_indirect(Dictionary(Title=String(facts.title)))
    version = "1.7"
    if facts.icc is not None:
        _state_output_intent(pdf, facts, facts.icc)
        version = "1.6"
    file = io.BytesIO()
    pdf.remove_unreferenced_resources()
    pdf.save(file, deterministic_id=True, force_version=version, compress_streams=True)
    return file.getvalue()


def _state_output_intent(pdf: Pdf, facts: PdfFacts, icc: bytes) -> None:
    """Make the file a PDF/X-4: output intent, identification, and RGB colours defined as sRGB."""
    moment = datetime.fromtimestamp(facts.made_at, UTC)
    press = Stream(pdf, icc, N=count_colours(icc))
    pdf.Root[Name.OutputIntents] = Array(
        [
            Dictionary(
                Type=Name.OutputIntent,
                S=Name.GTS_PDFX,
                OutputConditionIdentifier=String(facts.condition or "Custom"),
                Info=String(facts.condition or "Custom"),
                DestOutputProfile=pdf.make_indirect(press),
            )
        ]
    )
    dates = String(moment.strftime("D:%Y%m%d%H%M%SZ"))
    info = pdf.trailer[Name.Info]
    info[Name.CreationDate], info[Name.ModDate], info[Name.Trapped] = dates, dates, Name.False_
    pdf.Root[Name.Metadata] = pdf.make_indirect(
        Stream(pdf, _xmp(facts, moment).encode(), Type=Name.Metadata, Subtype=Name.XML)
    )
    srgb = pdf.make_indirect(Stream(pdf, _srgb_profile(), N=3, Alternate=Name.DeviceRGB))
    defaults = Array([Name.ICCBased, srgb])
    for page in pdf.pages:
        if Name.ColorSpace not in page.resources:
            page.resources[Name.ColorSpace] = Dictionary()
        page.resources[Name.ColorSpace][Name.DefaultRGB] = defaults


def count_colours(icc: bytes) -> int:
    """Return the number of colours of an ICC profile. Raises ValueError."""
    spaces = {b"CMYK": 4, b"RGB ": 3, b"GRAY": 1}
    if len(icc) < 128 or icc[36:40] != b"acsp" or icc[16:20] not in spaces:
        raise ValueError("is not an ICC profile of CMYK, RGB or grey")
    return spaces[icc[16:20]]


def _srgb_profile() -> bytes:
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    data[24:36] = bytes((7, 228, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0))  # the time of its creation, always the same
    data[84:100] = bytes(16)  # its checksum
    return bytes(data)


def _xmp(facts: PdfFacts, moment: datetime) -> str:
    stamp = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    title = escape(facts.title)
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
 xmlns:pdf="http://ns.adobe.com/pdf/1.3/" xmlns:pdfxid="http://www.npes.org/pdfx/ns/id/">
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{title}</rdf:li></rdf:Alt></dc:title>
<xmp:CreateDate>{stamp}</xmp:CreateDate><xmp:ModifyDate>{stamp}</xmp:ModifyDate>
<xmp:MetadataDate>{stamp}</xmp:MetadataDate>
<xmpMM:DocumentID>uuid:{uuid5(NAMESPACE_URL, facts.title + stamp)}</xmpMM:DocumentID>
<xmpMM:VersionID>1</xmpMM:VersionID><xmpMM:RenditionClass>default</xmpMM:RenditionClass>
<pdf:Trapped>False</pdf:Trapped>
<pdfxid:GTS_PDFXVersion>PDF/X-4</pdfxid:GTS_PDFXVersion>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""
