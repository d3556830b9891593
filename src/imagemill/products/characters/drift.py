"""How far the pictures of a character are from its identity picture, which is the active avatar."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from imagemill.blobs.base import BlobStore
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import NotFound
from imagemill.media.colour_distance import ListColours, WeightedColour, colour_distance, read_colours
from imagemill.media.layout import InvalidImage
from imagemill.media.transforms import ImageTransform, OutputFile, TransformContext
from imagemill.products.characters.store import StoredImage

_REMEMBERED = 2000
"""Number of pictures whose colours are kept in memory; a file never changes."""
_CONTEXT = TransformContext("", 0, 0, None, "", "")
"""Nothing in a measurement depends on the job."""

Colours = tuple[WeightedColour, ...]


@dataclass(frozen=True, slots=True)
class Drift:
    """``identity``: the active avatar's id. ``items``: the other pictures, the farthest first."""

    identity: str | None
    items: tuple[tuple[StoredImage, float | None], ...] = ()


class DriftMeter:
    """Compares colours, which it measures in a confined process. Thread-safe."""

    def __init__(
        self,
        blobs: BlobStore,
        run_transform: Callable[[ImageTransform, bytes, TransformContext], Sequence[OutputFile]],
    ) -> None:
        self._blobs = blobs
        self._run = run_transform
        self._known: OrderedDict[str, Colours] = OrderedDict()
        self._lock = threading.Lock()

    def measure(self, images: Sequence[StoredImage]) -> Drift:
        """Return the distances of active pictures. May block; raises `DecodersBusy` and `StorageError`."""
        avatar = next((image for image in images if image.type == "avatar"), None)
        if avatar is None:
            return Drift(None)
        known = self._colours(avatar)
        found = [(image, self._distance(known, image)) for image in images if image is not avatar]
        found.sort(key=lambda pair: -1.0 if pair[1] is None else pair[1], reverse=True)
        return Drift(avatar.id, tuple(found))

    def _distance(self, known: Colours, image: StoredImage) -> float | None:
        colours = self._colours(image)
        return round(colour_distance(known, colours), 1) if known and colours else None

    def _colours(self, image: StoredImage) -> Colours:
        """Return the colours of a picture; none for a file that is gone or cannot be decoded."""
        key = image.thumbnail_key
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        try:
            colours = read_colours(self._run(ListColours(), self._blobs.get(key), _CONTEXT))
        except (InvalidImage, NotFound):
            colours = ()
        with self._lock:
            self._known[key] = colours
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return colours
