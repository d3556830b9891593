"""The craft of pictures that a node delivers in another format than was asked for."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from imagemill.media.crafting import Facts, Made
from imagemill.media.encoding import METHOD
from imagemill.media.layout import is_profile
from imagemill.media.pictures import EXTENSIONS, inspect

_TYPES = {name: media_type for media_type, name in EXTENSIONS.items()}
_OPTIONS: dict[str, dict[str, int]] = {
    "png": {"compress_level": 3},
    "jpeg": {"quality": 95},
    "webp": {"quality": 90, "method": METHOD},
}


@dataclass(frozen=True, slots=True)
class InFormat:
    """An `imagemill.media.crafting.Craft`: what is in the format already stays as it is, byte for byte."""

    name: str
    """png, jpeg or webp."""
    max_pixels: int = 64 * 2**20

    def __call__(self, data: bytes, facts: Facts) -> Sequence[Made]:
        """One picture; a transparent one is shown on white in a JPEG. Raises `BadPicture`."""
        from PIL import Image

        from imagemill.media.checks import opened

        del facts
        info = inspect(data, max_pixels=self.max_pixels)
        if info.media_type == _TYPES[self.name]:
            return [Made(data, info.media_type, info.width, info.height)]
        picture = opened(data, self.max_pixels)
        profile = picture.info.get("icc_profile")
        if picture.mode == "RGBA" and self.name == "jpeg":
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture).convert("RGB")
        file = io.BytesIO()
        kept = profile if isinstance(profile, bytes) and is_profile(profile) else b""
        picture.info = {}
        picture.save(file, self.name.upper(), icc_profile=kept, **_OPTIONS[self.name])
        return [Made(file.getvalue(), _TYPES[self.name], picture.width, picture.height)]
