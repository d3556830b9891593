"""Convert a picture: resize it, blur regions, and encode it as JPEG, PNG, WebP or GIF.

`Conversion` is an `imagemill.media.transforms.ImageTransform`. Animations keep their frames in WebP and GIF.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from PIL import Image, ImageDraw, ImageFile, ImageFilter, ImageSequence, PngImagePlugin

from imagemill.domain.dataclass import dataclass
from imagemill.media.layout import InvalidImage, is_profile
from imagemill.media.metadata import exif_comment
from imagemill.media.pixels import on_white, plain
from imagemill.media.sandbox_child import TURNS
from imagemill.media.transforms import OutputFile, TransformContext

Format = Literal["jpeg", "png", "webp", "gif"]
MEDIA_TYPES: Mapping[str, str] = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
}
MOST_FRAMES = 256
"""Most frames of an animation that are kept."""
_SOURCES = ("PNG", "JPEG", "WEBP", "GIF")
_MAX_PIXELS = 64 * 2**20
"""Most pixels of all frames together, before and after resizing."""
_LONGEST = 16_383
"""Most pixels a side: WebP has 14 bits for it."""
_ORIENTATION = 0x0112
_MOST_SEGMENT = 60_000
"""Most bytes of a JPEG's EXIF or XMP, each of which is one segment of 64 KB at most."""
_EFFORT = 2
"""Effort of libwebp; see `imagemill.media.encoding.METHOD`."""
_COMPRESSION = 6
_FRAME_MS = 100
"""Duration of a frame that states none, in milliseconds."""
_TEXTS = ("parameters", "prompt", "workflow")
"""Texts of a PNG by which image tools know how it was made."""


@dataclass(frozen=True, slots=True)
class Resize:
    """Scale to a width in pixels; the height follows."""

    width: int


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle in pixels: its upper left corner, and its lower right one, which is outside of it."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class Blur:
    radius: int
    """Radius of the Gaussian blur in pixels."""
    outside: bool = False
    """Blur what is outside of the regions."""
    regions: tuple[Region, ...] = ()
    """Without regions, the whole picture is blurred."""


@dataclass(frozen=True, slots=True)
class _Metadata:
    """The metadata that is written again."""

    exif: bytes = b""
    xmp: bytes = b""
    profile: bytes = b""
    texts: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Conversion:
    steps: tuple[Resize | Blur, ...] = ()
    format: Format = "png"
    quality: int = 85
    lossless: bool = False
    most_frames: int = MOST_FRAMES
    hide_metadata: bool = False

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any]) -> "Conversion":
        """Return the conversion of a task's arguments, as the recipe ``convertImage`` writes them."""
        fields = {**arguments, "steps": tuple(_step(each) for each in arguments.get("steps", ()))}
        return cls(**fields)

    def __call__(self, data: bytes, context: TransformContext) -> Sequence[OutputFile]:
        """Return the converted picture. Raises `InvalidImage`."""
        del context
        animated = self.format in ("webp", "gif")
        frames, durations, metadata = _open(data, self.most_frames if animated else 1)
        for step in self.steps:
            frames = [
                _resize(frame, step) if isinstance(step, Resize) else _blur(frame, step) for frame in frames
            ]
        if self.hide_metadata:
            metadata = _Metadata(profile=metadata.profile)
        encoded = self._encode(frames, durations, metadata)
        width, height = frames[0].size
        return [OutputFile(encoded, MEDIA_TYPES[self.format], width, height)]

    def _encode(self, frames: list[Image.Image], durations: list[int], metadata: _Metadata) -> bytes:
        file = io.BytesIO()
        options: dict[str, Any] = {"icc_profile": metadata.profile}
        if len(frames) > 1:
            options |= {"save_all": True, "append_images": frames[1:], "duration": durations, "loop": 0}
        match self.format:
            case "jpeg":
                kept = {"exif": metadata.exif, "xmp": metadata.xmp}
                options |= {name: part for name, part in kept.items() if len(part) <= _MOST_SEGMENT}
                on_white(frames[0]).save(file, "JPEG", quality=self.quality, optimize=True, **options)
            case "png":
                texts = _png_texts(metadata)
                options |= {"exif": metadata.exif, "pnginfo": texts, "compress_level": _COMPRESSION}
                frames[0].save(file, "PNG", **options)
            case "webp":
                options |= {"exif": metadata.exif, "xmp": metadata.xmp, "method": _EFFORT}
                options |= {"quality": self.quality, "lossless": self.lossless}
                frames[0].save(file, "WEBP", **options)
            case "gif":
                del options["icc_profile"]
                frames[0].save(file, "GIF", **options)
        return file.getvalue()


@dataclass(frozen=True, slots=True)
class Preview:
    """A JPEG for a model that reads pictures: on white, at most ``longest`` pixels a side."""

    longest: int = 1024

    def __call__(self, data: bytes, context: TransformContext) -> Sequence[OutputFile]:
        """Return the picture. Raises `InvalidImage`."""
        del context
        frames, _, _ = _open(data, 1)
        picture = on_white(frames[0])
        picture.thumbnail((self.longest, self.longest), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=85)
        return [OutputFile(file.getvalue(), "image/jpeg", *picture.size)]


def _step(arguments: Mapping[str, Any]) -> Resize | Blur:
    if "width" in arguments:
        return Resize(arguments["width"])
    regions = tuple(Region(**region) for region in arguments.get("regions", ()))
    return Blur(arguments["radius"], arguments.get("outside", False), regions)


def _open(data: bytes, most_frames: int) -> tuple[list[Image.Image], list[int], _Metadata]:
    """Decode the frames, their durations in milliseconds, and the metadata. Raises `InvalidImage`."""
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with Image.open(io.BytesIO(data), formats=_SOURCES) as picture:
            count = min(most_frames, getattr(picture, "n_frames", 1))
            _check_size(picture.width, picture.height, count)
            metadata, turn = _metadata_of(picture)
            if count == 1:
                picture.load()
                frames, durations = [plain(picture, data)], [0]
            else:
                frames, durations = _frames_of(picture, count)
    except InvalidImage:
        raise
    except Exception as error:
        # Decoders fail on untrusted bytes in more ways than they document; all mean the same here.
        raise InvalidImage("cannot be decoded; it is damaged") from error
    return [frame if turn is None else frame.transpose(turn) for frame in frames], durations, metadata


def _frames_of(picture: Image.Image, count: int) -> tuple[list[Image.Image], list[int]]:
    frames: list[Image.Image] = []
    durations: list[int] = []
    for frame in ImageSequence.Iterator(picture):
        frames.append(frame.convert("RGBA" if frame.has_transparency_data else "RGB"))
        durations.append(round(frame.info.get("duration") or _FRAME_MS))
        if len(frames) == count:
            break
    return frames, durations


def _metadata_of(picture: Image.Image) -> tuple[_Metadata, Image.Transpose | None]:
    """Return the metadata without its orientation, and the operation that turns the picture upright."""
    tags = picture.getexif()
    turn = TURNS.get(tags.pop(_ORIENTATION, 1))
    exif = tags.tobytes() if tags else b""
    texts = {name: text for name in _TEXTS if isinstance(text := picture.info.get(name), str)}
    if not exif and "parameters" in texts:
        exif = exif_comment(texts["parameters"])
    xmp = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp") or b""
    profile = picture.info.get("icc_profile")
    return (
        _Metadata(
            exif,
            xmp.encode("utf-8", "replace") if isinstance(xmp, str) else xmp,
            profile if isinstance(profile, bytes) and is_profile(profile) else b"",
            texts,
        ),
        turn,
    )


def _png_texts(metadata: _Metadata) -> PngImagePlugin.PngInfo:
    texts = PngImagePlugin.PngInfo()
    for name, text in (metadata.texts or {}).items():
        texts.add_itxt(name, text)
    if metadata.xmp:
        texts.add_itxt("XML:com.adobe.xmp", metadata.xmp.decode("utf-8", "replace"))
    return texts


def _check_size(width: int, height: int, frames: int) -> None:
    if width * height * frames > _MAX_PIXELS or max(width, height) > _LONGEST:
        many = f"{frames} frames of " if frames > 1 else ""
        raise InvalidImage(
            f"has {many}{width} x {height} pixels; at most {_MAX_PIXELS} in all and {_LONGEST} a side are "
            "converted"
        )


def _resize(frame: Image.Image, step: Resize) -> Image.Image:
    height = max(1, round(frame.height * step.width / frame.width))
    _check_size(step.width, height, 1)
    return frame.resize((step.width, height), Image.Resampling.LANCZOS)


def _blur(frame: Image.Image, step: Blur) -> Image.Image:
    blurred = frame.filter(ImageFilter.GaussianBlur(step.radius))
    if not step.regions:
        return blurred
    mask = Image.new("L", frame.size, 255 if step.outside else 0)
    draw = ImageDraw.Draw(mask)
    for region in step.regions:
        left, top = max(0, round(region.x1)), max(0, round(region.y1))
        right, bottom = min(frame.width, round(region.x2)) - 1, min(frame.height, round(region.y2)) - 1
        if left <= right and top <= bottom:
            draw.rectangle((left, top, right, bottom), fill=0 if step.outside else 255)
    return Image.composite(blurred, frame, mask)
