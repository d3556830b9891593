"""Post-process a render's picture: check it, remove its background, trim, convert, add metadata.

`PostProcess` and `ConvertFormat` are `imagemill.media.transforms.ImageTransform`s: plain data that the
server builds and a confined process runs. Pillow and NumPy are imported by the functions that need them,
so that building one loads neither.
"""

import io
from collections.abc import Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from imagemill.domain.dataclass import dataclass
from imagemill.media.layout import is_profile
from imagemill.media.metadata import (
    ImageMetadata,
    Metadata,
    exif,
    redacted,
    thumbnail_metadata,
    with_metadata,
    xmp,
)
from imagemill.media.pictures import EXTENSIONS, inspect
from imagemill.media.transforms import OutputFile, Role, TransformContext, check_pixels

if TYPE_CHECKING:
    from PIL import Image

_TYPES = {name: media_type for media_type, name in EXTENSIONS.items()}


@dataclass(frozen=True, slots=True)
class PostProcess:
    """Check a picture, remove its background, trim it, and encode it as WebP with a thumbnail."""

    size: tuple[int, int] | None = None
    """The expected size of the render; None means any."""
    quality: int = 85
    """The quality of the WebP; a transparent picture is lossless."""
    most_bytes: int | None = None
    """Size target of the picture; see `exceeds_target`."""
    key_colour: str | None = None
    """``#rrggbb``: the requested colour of the background, which is removed."""
    cutout: bytes | None = field(default=None, repr=False)
    """A U²-Net in ONNX that removes the background; with ``key_colour`` only if there is no flat
    background."""
    trim_px: int | None = None
    """Pixels kept around a subject that was cut out; None means that the picture keeps its size."""
    thumbnail_px: int = 0
    """Longer side of the thumbnail in pixels; 0 means no thumbnail."""
    keep_original: bool = False
    """Deliver the rendered file too: unchanged if ``metadata`` is full, else without its metadata."""
    metadata: Metadata = "full"
    prompt: str = field(default="", repr=False)
    character: str = ""
    max_pixels: int = 64 * 2**20

    def __call__(self, data: bytes, context: TransformContext) -> Sequence[OutputFile]:
        """The picture, then thumbnail and original if they are wanted. Raises `InvalidImage`."""
        from imagemill.media.encoding import check_not_blank, check_size, open_checked, thumbnail

        picture = open_checked(data, self.max_pixels)
        check_size(picture, self.size)
        check_not_blank(picture)
        picture = _remove_background(self, picture)
        meta = redacted(
            ImageMetadata(
                context.made_at,
                self.prompt,
                self.character,
                context.job_id,
                context.model,
                context.seed,
                context.simulated,
            ),
            self.metadata,
        )
        files = [_encode(self, "picture", picture, meta)]
        if self.thumbnail_px:
            small = thumbnail(picture, self.thumbnail_px)
            files.append(_encode(self, "thumbnail", small, thumbnail_metadata(meta) if meta else None))
        if self.keep_original:
            files.append(_original(self, data, meta))
        return files

    def exceeds_target(self, made: Sequence[OutputFile]) -> bool:
        """Whether the picture is larger than ``most_bytes``, even at the lowest quality."""
        return self.most_bytes is not None and any(
            one.role == "picture" and len(one.data) > self.most_bytes for one in made
        )


def _remove_background(process: PostProcess, picture: "Image.Image") -> "Image.Image":
    if process.key_colour is None and process.cutout is None:
        return picture
    check_pixels("removing a background")
    from imagemill.media import chroma_key
    from imagemill.media.cutout import cut_out
    from imagemill.media.encoding import check_cutout, trim

    if picture.mode == "RGBA":
        found = picture  # the node has removed the background
    elif process.key_colour is None:
        found = cut_out(picture, process.cutout or b"")
    else:
        red, green, blue = bytes.fromhex(process.key_colour.removeprefix("#"))
        try:
            found = chroma_key.remove_background(picture, (red, green, blue))
            check_cutout(found)
        except chroma_key.NoBackground:
            if process.cutout is None:
                raise
            found = cut_out(picture, process.cutout)
    check_cutout(found)
    return found if process.trim_px is None else trim(found, process.trim_px)


@dataclass(frozen=True, slots=True)
class BackgroundRemoval:
    """Make the background of a picture transparent; see `PostProcess.key_colour` and `PostProcess.cutout`."""

    format: str
    """png or webp."""
    key_colour: str | None = None
    cutout: bytes | None = field(default=None, repr=False)

    def __call__(self, data: bytes, context: TransformContext) -> Sequence[OutputFile]:
        """Return the picture, without metadata. Raises `InvalidImage`."""
        del context
        from imagemill.media.encoding import encode_webp, open_checked

        process = PostProcess(key_colour=self.key_colour, cutout=self.cutout)
        picture = _remove_background(process, open_checked(data, process.max_pixels))
        if self.format == "webp":
            encoded = encode_webp(picture).data
        else:
            file = io.BytesIO()
            picture.save(file, "PNG")
            encoded = file.getvalue()
        return [OutputFile(encoded, _TYPES[self.format], picture.width, picture.height)]


def _encode(
    process: PostProcess, role: Role, picture: "Image.Image", meta: ImageMetadata | None
) -> OutputFile:
    from imagemill.media.encoding import MEDIA_TYPE, encode_webp

    done = encode_webp(
        picture,
        quality=process.quality,
        most_bytes=process.most_bytes if role == "picture" else None,
        exif=exif(meta) if meta else b"",
        xmp=xmp(meta) if meta else b"",
    )
    return OutputFile(done.data, MEDIA_TYPE, picture.width, picture.height, role)


def _original(process: PostProcess, data: bytes, meta: ImageMetadata | None) -> OutputFile:
    """The rendered file. A node's PNG holds the graph and thus the prompt: only full metadata keeps that."""
    from imagemill.media.intake import parse

    layout = parse(data)
    if process.metadata != "full":
        data = layout.kept
        if meta is not None and layout.media_type == "image/png":
            data = with_metadata(data, meta)
    return OutputFile(data, layout.media_type, layout.width, layout.height, "original")


@dataclass(frozen=True, slots=True)
class ConvertFormat:
    """Convert to one format; a picture that already has it stays unchanged."""

    name: str
    """png, jpeg or webp."""
    max_pixels: int = 64 * 2**20

    def __call__(self, data: bytes, context: TransformContext) -> Sequence[OutputFile]:
        """One picture; a JPEG of a transparent picture gets a white background. Raises `InvalidImage`."""
        from imagemill.media.encoding import METHOD, open_checked
        from imagemill.media.pixels import on_white

        del context
        info = inspect(data, max_pixels=self.max_pixels)
        if info.media_type == _TYPES[self.name]:
            return [OutputFile(data, info.media_type, info.width, info.height)]
        picture = open_checked(data, self.max_pixels)
        profile = picture.info.get("icc_profile")
        if picture.mode == "RGBA" and self.name == "jpeg":
            picture = on_white(picture)
        options: dict[str, dict[str, int]] = {
            "png": {"compress_level": 3},
            "jpeg": {"quality": 95},
            "webp": {"quality": 90, "method": METHOD},
        }
        file = io.BytesIO()
        kept = profile if isinstance(profile, bytes) and is_profile(profile) else b""
        picture.info = {}
        picture.save(file, self.name.upper(), icc_profile=kept, **options[self.name])
        return [OutputFile(file.getvalue(), _TYPES[self.name], picture.width, picture.height)]
