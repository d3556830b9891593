"""The craft of finished pictures: checked, cut out, trimmed, encoded, labelled."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from imagemill.media.encoding import METHOD
from imagemill.media.layout import is_profile
from imagemill.media.metadata import Metadata
from imagemill.media.pictures import EXTENSIONS, inspect
from imagemill.media.transforms import OutputFile, TransformContext


@dataclass(frozen=True, slots=True)
class PostProcess:
    """An `imagemill.media.transforms.ImageTransform`. Building one does not load Pillow or NumPy: they are
    imported by `imagemill.media.postprocess_steps`."""

    size: tuple[int, int] | None = None
    """Of the render; None: any."""
    quality: int = 85
    """Of WebP; a transparent picture is lossless."""
    most_bytes: int | None = None
    """Size target of the picture; see `missed`."""
    key_colour: str | None = None
    """``#rrggbb``: what the background was asked to be, which is removed."""
    cutout: bytes | None = field(default=None, repr=False)
    """A U²-Net in ONNX that removes the background; with ``key_colour`` only where there is none to key."""
    trim_px: int | None = None
    """Kept around a subject that was cut out; None: the picture keeps its size."""
    thumbnail_px: int = 0
    """Longer side of the thumbnail; 0: none."""
    keep_original: bool = False
    """Deliver what was rendered too: as it is with ``metadata`` full, else without what is not picture."""
    metadata: Metadata = "full"
    prompt: str = field(default="", repr=False)
    character: str = ""
    max_pixels: int = 64 * 2**20

    def __call__(self, data: bytes, facts: TransformContext) -> Sequence[OutputFile]:
        """Picture, thumbnail, original, as far as they are asked for. Raises `InvalidImage`."""
        from imagemill.media.postprocess_steps import finished

        return finished(self, data, facts)

    def missed(self, made: Sequence[OutputFile]) -> bool:
        """Whether the picture is larger than ``most_bytes``, at the lowest quality there is."""
        return self.most_bytes is not None and any(
            one.role == "picture" and len(one.data) > self.most_bytes for one in made
        )


_TYPES = {name: media_type for media_type, name in EXTENSIONS.items()}
_OPTIONS: dict[str, dict[str, int]] = {
    "png": {"compress_level": 3},
    "jpeg": {"quality": 95},
    "webp": {"quality": 90, "method": METHOD},
}


@dataclass(frozen=True, slots=True)
class ConvertFormat:
    """An `imagemill.media.transforms.ImageTransform` to one format; images already in it stay as they are."""

    name: str
    """png, jpeg or webp."""
    max_pixels: int = 64 * 2**20

    def __call__(self, data: bytes, facts: TransformContext) -> Sequence[OutputFile]:
        """One picture; a transparent one is shown on white in a JPEG. Raises `InvalidImage`."""
        from PIL import Image

        from imagemill.media.encoding import open_checked

        del facts
        info = inspect(data, max_pixels=self.max_pixels)
        if info.media_type == _TYPES[self.name]:
            return [OutputFile(data, info.media_type, info.width, info.height)]
        picture = open_checked(data, self.max_pixels)
        profile = picture.info.get("icc_profile")
        if picture.mode == "RGBA" and self.name == "jpeg":
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture).convert("RGB")
        file = io.BytesIO()
        kept = profile if isinstance(profile, bytes) and is_profile(profile) else b""
        picture.info = {}
        picture.save(file, self.name.upper(), icc_profile=kept, **_OPTIONS[self.name])
        return [OutputFile(file.getvalue(), _TYPES[self.name], picture.width, picture.height)]
