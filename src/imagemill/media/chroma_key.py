"""Removing a flat background by its colour: soft edges, holes, colours near the key kept, no spill.

Every pixel is background B, subject F, or a mixture ``C = a F + (1 - a) B``. B is measured. For the mixtures,
which lie near the background, F is looked for among the pixels around that are subject alone; the one that
explains C best is taken. Where none does, F is taken to have no tint of the key.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from imagemill.media.layout import InvalidImage

Array = Any
"""A NumPy array; shapes are said where they matter."""

_LEAST_SHARE = 0.25
"""Part of the border that must show the background: a portrait may fill the other three sides."""
_ALIKE = 48
"""Levels around the most frequent colour within which border pixels belong to the background."""
_TINTED = 0.3
"""Part of the asked key's tint from which a border pixel may be the key as it was rendered."""
_MOST_NOISE = 9.0
"""Levels; more is a texture. Renders have one to three."""
_GRID = 96
"""Points a side at which a slope is measured."""
_VISIBLE_SLOPE = 3.0
"""Levels; less is flat, and cheaper."""
_COLOURFUL = 40
"""Levels of tint from which a background tells mixtures by their tint."""


class NoBackground(InvalidImage):
    """The picture has no flat background to remove."""


@dataclass(frozen=True, slots=True)
class Background:
    colour: Array
    """(3,), 0 to 255."""
    noise: float
    """Standard deviation, in levels."""
    slope: Array | None
    """(6, 3): a quadratic surface over -1 to 1 in both directions; None: it is flat."""

    @property
    def colourful(self) -> bool:
        return bool(tint(self.colour[None], self.colour)[0] >= _COLOURFUL)

    def whole(self, height: int, width: int) -> Array:
        """(height, width, 3), or (1, 1, 3) where it is flat; 32-bit floats."""
        if self.slope is None:
            return self.colour[None, None]
        y, x = np.linspace(-1, 1, height, dtype=np.float32), np.linspace(-1, 1, width, dtype=np.float32)
        c = self.slope.astype(np.float32)
        across = c[0] + c[1] * x[:, None] + c[3] * (x * x)[:, None]
        down = c[2] * y[:, None] + c[4] * (y * y)[:, None]
        found = across[None] + down[:, None] + c[5] * (x[None, :, None] * y[:, None, None])
        return np.clip(found, np.maximum(self.colour - _ALIKE, 0), np.minimum(self.colour + _ALIKE, 255))


def tint(colours: Array, key: Array) -> Array:
    """How far colours (n, 3) lean to the hue of ``key`` more than to any other, in levels; negative: away.

    For green it is green less the greater of red and blue, for magenta the lesser of red and blue less green;
    between them the same in the colour circle turned to the key's hue.
    """
    u, v = _circle(colours)
    key_u, key_v = _circle(np.asarray(key, np.float32)[None])
    length = float(np.hypot(key_u[0], key_v[0])) or 1.0
    cos, sin = float(key_u[0]) / length, float(key_v[0]) / length
    return u * cos + v * sin - np.abs(v * cos - u * sin) / np.float32(np.sqrt(3))


def _circle(colours: Array) -> tuple[Array, Array]:
    """The plane of hues: red lies at 0, green at 120 degrees; a full colour at 255."""
    red, green, blue = colours[..., 0], colours[..., 1], colours[..., 2]
    return red - (green + blue) / 2, (green - blue) * np.float32(np.sqrt(3) / 2)


def measure(
    pixels: Array, key: tuple[int, int, int] | None = None, least: float = _LEAST_SHARE
) -> Background:
    """``key``: the colour that was asked for, which wins where the border shows several. ``least``: part of
    the border that must show it.

    Raises `NoBackground`.
    """
    border = _border(pixels)
    found = None
    if key is not None:
        asked = np.array(key, np.float32)
        like = border[tint(border, asked) >= _TINTED * max(1.0, float(tint(asked[None], asked)[0]))]
        found = _mode(like, least * len(border)) if len(like) else None
    if found is None:
        found = _mode(border, least * len(border))
    if found is None:
        raise _none()
    return _refined(pixels, found)


def _none() -> NoBackground:
    return NoBackground("shows no flat background at its border, so there is none to remove")


def _border(pixels: Array) -> Array:
    """(n, 3): a frame, 2 px wide at least."""
    wide = max(2, min(pixels.shape[:2]) // 96)
    parts = pixels[:wide], pixels[-wide:], pixels[:, :wide], pixels[:, -wide:]
    return np.concatenate([part.reshape(-1, 3) for part in parts]).astype(np.float32)


def _mode(colours: Array, least: float) -> Array | None:
    """The most frequent colour, where it makes up ``least`` pixels."""
    bins = (colours.astype(np.int32) >> 4) @ np.array([256, 16, 1])
    middle = colours[bins == np.bincount(bins, minlength=4096).argmax()].mean(0)
    like = colours[np.abs(colours - middle).max(1) < _ALIKE]
    # The bin's border may have cut the colour in two.
    middle = np.median(like, axis=0)
    like = colours[np.abs(colours - middle).max(1) < _ALIKE]
    middle = np.median(like, axis=0)
    return middle if len(like) >= least else None


def _refined(pixels: Array, colour: Array) -> Background:
    """Its slope and noise, by all that looks like it."""
    height, width = pixels.shape[:2]
    rows = np.linspace(0, height - 1, min(_GRID, height)).astype(int)
    columns = np.linspace(0, width - 1, min(_GRID, width)).astype(int)
    y, x = (part.ravel() for part in np.meshgrid(rows, columns, indexing="ij"))
    values = pixels[y, x].astype(np.float32)
    y, x = 2 * y / max(1, height - 1) - 1, 2 * x / max(1, width - 1) - 1
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], 1)
    rest = values - colour
    slope = np.zeros((6, 3))
    slope[0] = colour
    for bound in (_ALIKE, _ALIKE / 2, _ALIKE / 3):
        like = np.abs(rest).max(1) < bound
        if like.sum() < 60:
            break
        slope = np.linalg.lstsq(terms[like], values[like], rcond=None)[0]
        rest = values - terms @ slope
    near = np.abs(rest)[np.abs(rest).max(1) < _ALIKE / 2]
    noise = 1.4826 * float(np.median(near, axis=0).max()) if len(near) else 0.0
    if noise > _MOST_NOISE:
        raise _none()
    height_of = np.abs(terms @ slope - slope[0]).max()
    flat = height_of < _VISIBLE_SLOPE
    return Background((colour if flat else slope[0]).astype(np.float32), noise, None if flat else slope)


__all__ = ["NoBackground", "remove_background"]

_ZONE = 1 / 170
"""Width of the zone beside the background in which mixtures are looked for, in parts of the longer side."""
_PURE = 0.97
"""Part of the subject in a pixel, by its tint, from which it counts as subject alone."""
_REACH = (1, 2, 3, 5, 8, 12, 17)
"""Px in each of eight directions at which the subject's colour is looked for."""
_RIM = max(_REACH)
_TOLERANCE = 40.0
"""Levels squared by which a subject's colour may differ from what explains a pixel: shading."""
_APART = 30
"""Levels from the background below which a colour of the subject explains nothing."""
_INSIDE = 2
"""Grade of a pixel whose neighbours are subject too."""
_THIN_HANDICAP = 5.0
"""As many times the tolerance. A thin line that seems to be subject alone may be a mixture itself, of a
colour opposite to the key."""
_FAR_HANDICAP = 0.01
"""The same for each px squared of the way."""
_PALETTE = 16
"""Colours of the subject that are offered to what has none of them near, such as the tips of hair."""
_SHADES = ((1.0, 1.0), (0.8, 2.0), (1.2, 2.0), (0.6, 3.0))
"""In which light they are offered, and with what handicap."""
_FREEDOM = 40
"""Levels by which a pixel's own colour may differ from the one that explains it."""
_BLOCK = 4
"""Px a side."""
_WIDE = 1 / 50
"""Of the longer side: a hole at least as wide is no eye."""
_FAINT = 0.03
"""Alpha that is noise rather than subject."""
_SPILL_SLACK = 4.0
"""Levels of tint beyond the subject's own that are left to a pixel."""


def remove_background(image: Image.Image, key: tuple[int, int, int] | None = None) -> Image.Image:
    """The picture as RGBA without its background. ``key``: the colour that was asked for.

    Raises `NoBackground`.
    """
    rgb = image.convert("RGB")
    pixels = np.asarray(rgb)
    backdrop = measure(pixels, key)
    height, width = pixels.shape[:2]
    behind = backdrop.whole(height, width)
    clear, zone = _zones(rgb, pixels, behind, backdrop)
    out = np.empty((height, width, 4), np.uint8)
    out[..., :3] = pixels
    out[..., 3] = np.where(clear, 0, 255)
    if zone.any():
        _solve(out, clear, zone, behind, backdrop)
    out[out[..., 3] == 0] = 0
    return Image.fromarray(out, "RGBA")


def _zones(rgb: Image.Image, pixels: Array, behind: Array, backdrop: Background) -> tuple[Array, Array]:
    """What is background alone, and what lies near it and may be a mixture."""
    bound = min(40.0, 4.0 + 3.5 * backdrop.noise)
    level = np.rint(behind).astype(np.int16)
    apart = _greatest(np.abs(pixels - level))
    # A single noisy pixel is told from a thin hair by what is around it.
    smooth = np.asarray(rgb.filter(ImageFilter.BoxBlur(1)))
    around = _greatest(np.abs(smooth - level))
    like = (apart <= bound) | ((around <= bound / 2) & (apart <= 2 * bound))
    if not backdrop.colourful:
        like &= _outside(like)
    reach = max(2, round(_ZONE * max(rgb.size)))
    mask = Image.fromarray(like.astype(np.uint8) * 255)
    near = np.asarray(mask.filter(ImageFilter.BoxBlur(reach))) > 0
    zone = near & ~like
    if backdrop.colourful:
        zone |= _specks(mask, pixels, backdrop, 4 * reach)
    return like, zone


def _outside(like: Array) -> Array:
    """What is joined to the border or is a wide hole, as far as blocks of pixels tell. What is narrow inside
    the subject may, of a background without a hue, be an eye or a tooth as well."""
    height, width = (side + -side % _BLOCK for side in like.shape)
    padded = np.pad(like, ((0, height - like.shape[0]), (0, width - like.shape[1])), constant_values=True)
    free: Array = padded.reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).all((1, 3))
    found: Array = free
    for _ in range(max(1, round(_WIDE * max(like.shape) / (2 * _BLOCK)))):
        found = _inner(found)
    found[0], found[-1], found[:, 0], found[:, -1] = free[0], free[-1], free[:, 0], free[:, -1]
    count = -1
    while count != (count := int(found.sum())):
        for _ in range(_BLOCK):
            found = _outer(found) & free
    # Blocks that are partly subject lie beside those that are not.
    near = _outer(_outer(found))
    return near.repeat(_BLOCK, 0).repeat(_BLOCK, 1)[: like.shape[0], : like.shape[1]]


def _specks(mask: Image.Image, pixels: Array, backdrop: Background, reach: int) -> Array:
    """Gaps between strands that no pixel shows the background alone in: tinted, thin, near the background."""
    close = (np.asarray(mask.filter(ImageFilter.BoxBlur(reach))) > 0) & (np.asarray(mask) == 0)
    at = np.nonzero(close)
    tinted = np.zeros(close.shape, np.uint8)
    bound = _TINTED * max(1.0, float(tint(backdrop.colour[None], backdrop.colour)[0]))
    tinted[at] = tint(pixels[at].astype(np.float32), backdrop.colour) > bound
    broad = Image.fromarray(_inner(tinted) * np.uint8(255)).filter(ImageFilter.BoxBlur(2))
    return (tinted > 0) & (np.asarray(broad) == 0)


def _greatest(levels: Array) -> Array:
    """Of the three channels; much faster than a reduction over the last axis."""
    return np.maximum(np.maximum(levels[..., 0], levels[..., 1]), levels[..., 2])


def _inner(mask: Array) -> Array:
    """The pixels of a mask, 0 or 1, whose eight neighbours are in it too; beyond the picture's rim is."""
    rows = mask.copy()
    rows[1:] &= mask[:-1]
    rows[:-1] &= mask[1:]
    found = rows.copy()
    found[:, 1:] &= rows[:, :-1]
    found[:, :-1] &= rows[:, 1:]
    return found


def _outer(mask: Array) -> Array:
    """The pixels of a mask and their eight neighbours."""
    rows = mask.copy()
    rows[1:] |= mask[:-1]
    rows[:-1] |= mask[1:]
    found = rows.copy()
    found[:, 1:] |= rows[:, :-1]
    found[:, :-1] |= rows[:, 1:]
    return found


def _solve(out: Array, clear: Array, zone: Array, behind: Array, backdrop: Background) -> None:
    """Alpha and colour of the pixels of ``zone``, written to ``out``."""
    at: tuple[Array, Array] = np.nonzero(zone)  # pyright: ignore[reportAssignmentType] - it has two axes
    colour = out[..., :3][at].astype(np.float32)
    back = behind[at] if behind.shape[:2] == zone.shape else np.broadcast_to(behind[0], colour.shape)
    key = backdrop.colour
    share = _by_tint(colour, back, key, backdrop)
    sure = _sure(clear, zone, share)
    search = _searched(out, at, sure, colour, back, backdrop.noise)
    alpha = _alpha(colour, back, share, search, backdrop.noise)
    alpha[sure[at] == _INSIDE] = 1
    subject = _subject(colour, back, search, alpha)
    if backdrop.colourful:
        subject = _without_spill(subject, search, key)
    out[..., 3][at] = np.rint(alpha * 255).astype(np.uint8)
    out[..., :3][at] = np.rint(np.clip(subject, 0, 255)).astype(np.uint8)


def _by_tint(colour: Array, back: Array, key: Array, backdrop: Background) -> Array:
    """The subject's part in mixtures, if it has no tint of the key itself; beside grey, by distance."""
    if backdrop.colourful:
        return np.clip(1 - tint(colour, key) / np.maximum(tint(back, key), 1), 0, 1)
    return np.clip(np.abs(colour - back).max(1) / 96, 0, 1)


def _sure(clear: Array, zone: Array, share: Array) -> Array:
    sure = (~clear & ~zone).astype(np.uint8)
    sure[zone] = share >= _PURE
    return sure + _inner(sure)


class _Search:
    """The subject's colour in each mixed pixel: the best of those that were offered so far."""

    def __init__(self, colour: Array, back: Array, noise: float) -> None:
        count = len(colour)
        self._offset, self._back = colour - back, back
        self._square = np.einsum("ij,ij->i", self._offset, self._offset)
        self._scale = 1 / (3 * noise * noise + _TOLERANCE)
        self.cost = np.full(count, np.inf, np.float32)
        self.rest = np.full(count, np.inf, np.float32)
        """What is left unexplained, in levels squared; infinite where nothing was offered."""
        self.alpha = np.ones(count, np.float32)
        self.colour = np.zeros((count, 3), np.float32)

    def offer(self, which: Array, colours: Array, handicap: Array | float) -> None:
        """``colours`` to the pixels ``which``; the handicap says what is more likely a priori."""
        away = colours - self._back[which]
        length = np.einsum("ij,ij->i", away, away)
        along = np.einsum("ij,ij->i", away, self._offset[which])
        part = np.clip(along / np.maximum(length, 1), 0, 1)
        left = self._square[which] - part * (2 * along - part * length)
        cost = left * self._scale + handicap
        better = (cost < self.cost[which]) & (length > _APART * _APART)
        where = which[better]
        self.cost[where], self.rest[where], self.alpha[where] = cost[better], left[better], part[better]
        self.colour[where] = colours[better]


def _searched(
    out: Array, at: tuple[Array, Array], sure: Array, colour: Array, back: Array, noise: float
) -> _Search:
    """Offers what lies around, then, where that does not explain a pixel, what the subject mostly has."""
    colours = np.pad(out[..., :3], ((_RIM, _RIM), (_RIM, _RIM), (0, 0))).reshape(-1, 3)
    grades = np.pad(sure, _RIM).ravel()
    width = out.shape[1] + 2 * _RIM
    place = (at[0] + _RIM) * width + at[1] + _RIM
    search = _Search(colour, back, noise)
    for step, far in _steps(width):
        # Nothing that lies as far could explain the others better.
        open_ = np.flatnonzero(search.cost > far)
        around = place[open_] + step
        grade = grades[around]
        some = np.flatnonzero(grade)
        if len(some):
            handicap = far + np.where(grade[some] == _INSIDE, 0, np.float32(_THIN_HANDICAP))
            search.offer(open_[some], colours[around[some]].astype(np.float32), handicap)
    palette = _palette(out[..., :3][sure == _INSIDE])
    for light, handicap in _SHADES:
        for common in np.minimum(palette * np.float32(light), 255):
            hard = np.flatnonzero(search.cost > handicap)
            if len(hard):
                search.offer(hard, np.broadcast_to(common, (len(hard), 3)), handicap)
    return search


def _palette(inside: Array) -> Array:
    """(n, 3): the most frequent colours of the subject's inside."""
    some = inside[:: max(1, len(inside) // 50_000)].astype(np.float32)
    bins = (some.astype(np.int32) >> 4) @ np.array([256, 16, 1])
    counts = np.bincount(bins, minlength=4096)
    fullest = np.argsort(-counts, kind="stable")[:_PALETTE]
    fullest = fullest[counts[fullest] > 0]
    sums = np.stack([np.bincount(bins, some[:, channel], 4096) for channel in range(3)], 1)
    return (sums[fullest] / counts[fullest, None]).astype(np.float32)


def _steps(width: int) -> list[tuple[int, float]]:
    """Eight directions, each reach; as steps in a flat array, and the handicap of what lies there."""
    directions = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
    return [
        (r * (y * width + x), _FAR_HANDICAP * r * r * (y * y + x * x)) for r in _REACH for y, x in directions
    ]


def _alpha(colour: Array, back: Array, share: Array, search: _Search, noise: float) -> Array:
    """By the colour found where it explains the pixel, by tint where not."""
    trust = np.exp(-np.maximum(search.rest, 0) / (2 * (3 * noise * noise + 14 * 14)))
    mixed = trust * search.alpha + (1 - trust) * share
    # No subject is brighter than white or darker than black, which bounds alpha from below.
    offset = colour - back
    room = np.where(offset > 0, 255 - back, back)
    least = np.max((np.abs(offset) - 3 * noise) / np.maximum(room, 1), axis=1)
    mixed = np.clip(np.maximum(mixed, least), 0, 1)
    return np.clip((mixed - _FAINT) / (1 - 2 * _FAINT), 0, 1)


def _subject(colour: Array, back: Array, search: _Search, alpha: Array) -> Array:
    """The subject's colour, freed of the background's part in it."""
    solid = np.maximum(alpha, 0.05)[:, None]
    unmixed = np.clip(back + (colour - back) / solid, 0, 255)
    known = np.isfinite(search.rest)[:, None]
    own_light = np.clip(unmixed - search.colour, -_FREEDOM, _FREEDOM)
    steady = np.clip((alpha[:, None] - 0.1) / 0.5, 0, 1)
    return np.where(known, search.colour + own_light * steady, unmixed)


def _without_spill(subject: Array, search: _Search, key: Array) -> Array:
    """Freed of the background's light, which is what it has of the key's hue beyond the colour around it."""
    own = np.where(np.isfinite(search.rest), np.maximum(tint(search.colour, key), 0), 0)
    excess = np.maximum(tint(subject, key) - own - _SPILL_SLACK, 0)
    return subject - excess[:, None] * (key / float(tint(key[None], key)[0]))
