"""Draw simulated pictures: pure functions from a request to encoded bytes.

Deterministic: the same request, seed and index give the same bytes (with the same version of Pillow).
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from io import BytesIO
from random import Random
from struct import pack

from PIL import Image, ImageChops, ImageFilter

from imagemill.backends.simulator.drawing import Colour, map_levels, print_strip, rgb, scale_image
from imagemill.backends.simulator.expression import split_people
from imagemill.backends.simulator.landscape import draw_scene
from imagemill.backends.simulator.person import draw_figure, draw_people
from imagemill.backends.simulator.small_scene import draw_small_scene
from imagemill.domain.images import ImageSpec, VideoLength

_COLOUR = re.compile("#[0-9a-fA-F]{6}")

_PERSON = re.compile(r"\b(?:1girl|1boy|1person|fashion model|headshot)\b", re.IGNORECASE)
"""Prompts that ask for one person."""
_STORY = re.compile(r"\b(?:book cover illustration|scene, detailed background)\b", re.IGNORECASE)
"""Prompts of a picture of a story: people stand in a landscape."""
_NAME = re.compile(r"\(([^():]{1,80}):1\.2\)")
_SOLO = re.compile(r"\bsolo\b", re.IGNORECASE)
_STUDIO = re.compile(r"\b(?:gr[ae]y|white|neutral) background\b", re.IGNORECASE)

MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "jpg": "image/jpeg", "webp": "image/webp"}

_STUDIO_GREY: Colour = (226, 227, 230)

PREVIEW_SIDE = 256
"""Most pixels of a preview's longer side, as a ComfyUI node sends them."""

SMOOTHED_UP_TO = 1600 * 1600
"""Pixels up to which a picture is drawn at double size and reduced; larger ones look smooth anyway."""

MOST_FRAMES = 12
"""Frames of a simulated video; a real one has more in the same time."""

FINE_FROM = 128
"""Height in pixels from which a picture has small details and text."""


def paint(spec: ImageSpec, index: int) -> bytes:
    """Picture ``index`` of the batch, encoded in ``spec.format``, exactly ``width`` x ``height``."""
    return encode(_picture(spec, index), spec.format, exact=spec.background is not None)


def cover(spec: ImageSpec, index: int) -> Image.Image:
    """The exact coverage of each pixel of that picture by the subject: 0 to 255, in one channel.

    ``spec.background`` must be set.
    """
    random = _person_random(spec, index)
    size = spec.width, spec.height
    scale = _scale(size)
    key = _colour(spec.background or "")
    canvas = size[0] * scale, size[1] * scale
    image = draw_figure(random, canvas, key, fine=spec.height >= FINE_FROM, prompt=spec.prompt)
    bands = ImageChops.difference(image, Image.new("RGB", canvas, key)).split()
    apart = map_levels(
        ImageChops.lighter(ImageChops.lighter(bands[0], bands[1]), bands[2]), [0] + [255] * 255
    )
    return apart.reduce(scale) if scale > 1 else apart


def preview(spec: ImageSpec, index: int, fraction: float) -> bytes:
    """A small JPEG of the picture after ``fraction`` (0..1) of its steps: noise that becomes clear."""
    shrink = min(1.0, PREVIEW_SIDE / max(spec.width, spec.height))
    size = max(1, round(spec.width * shrink)), max(1, round(spec.height * shrink))
    image, _ = _draw(spec, index, size, fine=spec.height >= FINE_FROM)
    left = min(1.0, max(0.0, 1.0 - fraction))
    if left > 0:
        image = image.filter(ImageFilter.BoxBlur(left * min(size) / 12))
        image = Image.blend(image, scale_image(_noise(), size), 0.75 * left)
    return encode(image, "jpeg", quality=70)


def animate(spec: ImageSpec, video: VideoLength) -> bytes:
    """An animated WebP of the video's duration: the view moves over one picture, in few frames."""
    margin = max(1, spec.width // 10)
    image = _picture(replace(spec, width=spec.width + margin, background=None), 0)
    shown = min(video.frames, MOST_FRAMES)
    lefts = [margin * number // max(1, shown - 1) for number in range(shown)]
    first, *others = [image.crop((left, 0, left + spec.width, spec.height)) for left in lefts]
    pause_ms = max(1, round(1000 * video.frames / video.fps / shown))
    buffer = BytesIO()
    first.save(
        buffer, "WEBP", save_all=True, append_images=others, duration=pause_ms, method=0, quality=75, loop=0
    )
    return buffer.getvalue()


def blank(spec: ImageSpec) -> bytes:
    """A black picture, as a node delivers when its VAE decodes to not-a-number."""
    return encode(Image.new("RGB", (spec.width, spec.height)), spec.format)


def encode(image: Image.Image, format: str, quality: int = 90, *, exact: bool = False) -> bytes:
    """Encode a picture. ``exact``: lossless if the format can. Raises KeyError for a format not in
    `MEDIA_TYPES`."""
    media_type = MEDIA_TYPES[format.lower()]
    if media_type == "image/png":
        return _png(image)
    buffer = BytesIO()
    if media_type == "image/webp":
        image.save(buffer, "WEBP", quality=0 if exact else quality, method=0, lossless=exact)
    else:
        image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _png(image: Image.Image) -> bytes:
    """An 8-bit RGB PNG. Pillow's own writer takes 0.25 ms for the smallest picture; this takes a fifth."""
    width, height = image.size
    filtered = _unfiltered if max(width, height) < FINE_FROM else _differences
    header = pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered(image), 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(data, zlib.crc32(kind)))
        for kind, data in chunks
    )


def _unfiltered(image: Image.Image) -> bytes:
    """The rows of a PNG with filter 0: pixels as they are. It suits small pictures, which are mostly flat."""
    # Each row is padded with a zero, which is the filter of the next one.
    return b"\0" + image.tobytes("raw", "RGB", 3 * image.width + 1)[:-1]


def _differences(image: Image.Image) -> bytes:
    """The rows of a PNG with filter 1 (Sub): each pixel as the difference from its left neighbour."""
    # The whole picture at once: itself minus itself moved one pixel to the right.
    left = Image.new("RGB", image.size)
    left.paste(image, (1, 0))
    raw = ImageChops.subtract_modulo(image, left).tobytes()
    row = image.width * 3
    return b"".join([b"\x01" + raw[at : at + row] for at in range(0, len(raw), row)])


def _picture(spec: ImageSpec, index: int) -> Image.Image:
    fine = spec.height >= FINE_FROM
    image, accent = _draw(spec, index, (spec.width, spec.height), fine=fine)
    if fine and spec.background is None:
        print_strip(image, spec.prompt, _facts(spec), accent)
    return image


def _draw(spec: ImageSpec, index: int, size: tuple[int, int], *, fine: bool) -> tuple[Image.Image, Colour]:
    """The picture without its text, and its accent colour."""
    random = Random(_digest(spec, index))  # noqa: S311 - draws pictures
    people, is_story, is_person = _read_people(spec.prompt)
    is_small = max(spec.width, spec.height) < FINE_FROM
    if is_small and spec.background is None and not is_story and not is_person:
        return draw_small_scene(random, size)
    scale = _scale(size)
    canvas = size[0] * scale, size[1] * scale
    if spec.background is not None:
        accent = _colour(spec.background)
        image = draw_figure(_person_random(spec, index), canvas, accent, fine=fine, prompt=spec.prompt)
    elif is_person and not is_story:
        accent = _STUDIO_GREY if _STUDIO.search(spec.prompt) else rgb((random.random(), 0.2, 0.92))
        alone = _person_random(spec, index)
        image = draw_figure(alone, canvas, accent, fine=fine, prompt=spec.prompt, is_keyed=False)
    else:
        image, accent = draw_scene(random, canvas, fine=fine)
        if is_person:
            each = [Random(_person_digest(spec, place, part)) for place, part in enumerate(people)]  # noqa: S311
            draw_people(image, each, people, fine=fine)
    return (image.reduce(scale) if scale > 1 else image), accent


@lru_cache(maxsize=256)
def _read_people(prompt: str) -> tuple[Sequence[str], bool, bool]:
    """The people of a prompt, whether it asks for a scene, and whether for people; kept for other seeds."""
    people = tuple(split_people(prompt))
    is_group = len(people) > 1
    return (
        people,
        is_group or _STORY.search(prompt) is not None,
        is_group or _PERSON.search(prompt) is not None,
    )


def _scale(size: tuple[int, int]) -> int:
    return 2 if size[0] * size[1] <= SMOOTHED_UP_TO else 1


def colour_error(text: str) -> str | None:
    """The error in a colour; None if it is valid."""
    return None if _COLOUR.fullmatch(text) else f"a colour is written #rrggbb, not {text[:20]!r}"


def _colour(text: str) -> Colour:
    value = int(text[1:], 16)
    return value >> 16, value >> 8 & 255, value & 255


def _digest(spec: ImageSpec, index: int) -> bytes:
    """The seed of the composition: everything that would change a real picture, except its size."""
    networks = [(network.air, network.strength) for network in spec.networks]
    text = repr((spec.prompt, spec.negative_prompt, spec.model, spec.seed, index, networks))
    return blake2b(text.encode("utf-8", "backslashreplace"), digest_size=32).digest()


def _person_random(spec: ImageSpec, index: int) -> Random:
    return Random(_person_digest(spec, index, spec.prompt))  # noqa: S311 - draws pictures


def _person_digest(spec: ImageSpec, index: int, part: str) -> bytes:
    """The seed of a person: the same with every expression and pose, so that a set of stickers shows one."""
    if not _SOLO.search(spec.prompt) and spec.background is None and len(split_people(spec.prompt)) == 1:
        return _digest(spec, index)
    networks = [(network.air, network.strength) for network in spec.networks]
    text = repr((_NAME.findall(part), spec.model, spec.seed, index, networks))
    return blake2b(text.encode("utf-8", "backslashreplace"), digest_size=32).digest()


def _facts(spec: ImageSpec) -> str:
    """The parameters in one line, the model and the LoRAs by their short names."""
    parts = [
        short_name(spec.model),
        f"{spec.width} x {spec.height}",
        f"{spec.steps} steps",
        f"cfg {spec.cfg_scale:g}",
        f"{spec.sampler} / {spec.scheduler}",
        f"seed {spec.seed}",
    ]
    parts += [f"{network.type} {short_name(network.air)} x {network.strength:g}" for network in spec.networks]
    return " · ".join(parts)


def short_name(air: str) -> str:
    """A short name of a model for people: ``sdxl 101055@128078``, or a file's base name."""
    pieces = air.split(":")
    if len(pieces) >= 5 and pieces[0].lower() == "urn":
        return f"{pieces[2]} {pieces[-1]}"[:48]
    return air.rsplit("/", 1)[-1].removesuffix(".safetensors")[:48]


@lru_cache(maxsize=1)
def _noise() -> Image.Image:
    """Coloured noise like that of an unfinished latent; always the same."""
    side = 48
    random = Random(0)  # noqa: S311 - draws pictures
    return Image.frombytes("RGB", (side, side), random.randbytes(side * side * 3))
