"""The craft of finished pictures: checked, cut out, trimmed, encoded, labelled."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from imagemill.media.crafting import Facts, Made
from imagemill.media.labels import Metadata


@dataclass(frozen=True, slots=True)
class Finish:
    """An `imagemill.media.crafting.Craft`. Building one does not load NumPy: what needs it is in
    `imagemill.media.workshop`, which a process imports before it gives up opening files."""

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

    def __call__(self, data: bytes, facts: Facts) -> Sequence[Made]:
        """Picture, thumbnail, original, as far as they are asked for. Raises `BadPicture`."""
        from imagemill.media.workshop import finished

        return finished(self, data, facts)

    def missed(self, made: Sequence[Made]) -> bool:
        """Whether the picture is larger than ``most_bytes``, at the lowest quality there is."""
        return self.most_bytes is not None and any(
            one.role == "picture" and len(one.data) > self.most_bytes for one in made
        )
