"""Remove a flat background by its colour (chroma key), with soft edges, holes, and colour spill removed.

Colours of the subject that are near the key are kept.

Every pixel is background B, subject F, or a mixture ``C = a F + (1 - a) B``. B is measured. For the
mixtures, which are near the background, F is searched among the surrounding pixels that show only the
subject, and the one that explains C best is used. If none does, F is assumed to have no tint of the key.

The first part measures the background, the second part removes it.
"""

from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from imagemill.domain.dataclass import dataclass
from imagemill.media.layout import InvalidImage

Array = Any
"""A NumPy array; its shape is documented where it matters."""

__all__ = ["NoBackground", "remove_background"]

# Levels are those of 8-bit channels, 0 to 255. First for measuring the background.
_LEAST_SHARE = 0.25
"""Share of the border that must show the background: a portrait may fill the other three sides."""
_SIMILAR = 48
"""Levels around the most frequent colour within which border pixels belong to the background."""
_TINTED = 0.3
"""Share of the requested key's tint from which a border pixel may be the rendered key."""
_MOST_NOISE = 9.0
"""Most levels of noise; above it is a texture. Renders have one to three levels."""
_GRID = 96
"""Points a side at which the slope is measured."""
_VISIBLE_SLOPE = 3.0
"""Levels; a smaller slope is treated as flat, which is faster."""
_COLOURFUL = 40
"""Levels of tint from which mixtures with the background are detected by their tint."""

# For removing it.
_ZONE = 1 / 170
"""Width of the zone beside the background in which mixtures are searched, as a share of the longer side."""
_PURE = 0.97
"""Share of the subject in a pixel, judged by tint, from which it counts as subject only."""
_REACH = (1, 2, 3, 5, 8, 12, 17)
"""Pixels in each of eight directions at which the subject's colour is searched."""
_RIM = max(_REACH)
_TOLERANCE = 40.0
"""Squared levels by which a subject's colour may differ from the one that explains a pixel: shading."""
_APART = 30
"""Levels from the background below which a colour of the subject explains nothing."""
_INSIDE = 2
"""Grade of a pixel whose neighbours are subject too."""
_THIN_HANDICAP = 5.0
"""Handicap of a colour from a thin line, in tolerances: the line may itself be a mixture, of a colour
opposite to the key."""
_FAR_HANDICAP = 0.01
"""Handicap of a colour for each squared pixel of its distance."""
_PALETTE = 16
"""Number of the subject's colours that are tried for pixels without subject nearby, such as the tips of
hair."""
_SHADES = ((1.0, 1.0), (0.8, 2.0), (1.2, 2.0), (0.6, 3.0))
"""(brightness, handicap) pairs in which these colours are tried."""
_FREEDOM = 40
"""Levels by which a pixel's own colour may differ from the one that explains it."""
_BLOCK = 4
"""Pixels a side of a block."""
_WIDE = 1 / 50
"""Share of the longer side: a hole at least as wide is not an eye."""
_FAINT = 0.03
"""Alpha below which a pixel is noise rather than subject."""
_SPILL_SLACK = 4.0
"""Levels of tint beyond the subject's own that a pixel keeps."""


class NoBackground(InvalidImage):
    """The picture has no flat background that could be removed."""

    code = "no_background"


# Measure the background.


@dataclass(frozen=True, slots=True)
class Background:
    colour: Array
    """(3,), 0 to 255."""
    noise: float
    """Standard deviation, in levels."""
    slope: Array | None
    """(6, 3): a quadratic surface over -1 to 1 in both directions; None if it is flat."""

    @property
    def colourful(self) -> bool:
        return bool(tint(self.colour[None], self.colour)[0] >= _COLOURFUL)

    def whole(self, height: int, width: int) -> Array:
        """The background as a picture, (height, width, 3), or (1, 1, 3) if it is flat; 32-bit floats."""
        if self.slope is None:
            return self.colour[None, None]
        y, x = np.linspace(-1, 1, height, dtype=np.float32), np.linspace(-1, 1, width, dtype=np.float32)
        c = self.slope.astype(np.float32)
        across = c[0] + c[1] * x[:, None] + c[3] * (x * x)[:, None]
        down = c[2] * y[:, None] + c[4] * (y * y)[:, None]
        found = across[None] + down[:, None] + c[5] * (x[None, :, None] * y[:, None, None])
        return np.clip(found, np.maximum(self.colour - _SIMILAR, 0), np.minimum(self.colour + _SIMILAR, 255))


def tint(colours: Array, key: Array) -> Array:
    """The tint of colours (n, 3) towards the hue of ``key``, in levels; negative if they tend away from
    it.

    For green it is green less the greater of red and blue, for magenta the lesser of red and blue less
    green; for other hues the same in the colour circle, rotated to the key's hue.
    """
    u, v = _circle(colours)
    key_u, key_v = _circle(np.asarray(key, np.float32)[None])
    length = float(np.hypot(key_u[0], key_v[0])) or 1.0
    cos, sin = float(key_u[0]) / length, float(key_v[0]) / length
    return u * cos + v * sin - np.abs(v * cos - u * sin) / np.float32(np.sqrt(3))


def _circle(colours: Array) -> tuple[Array, Array]:
    """Coordinates in the plane of hues: red at 0, green at 120 degrees; a full colour at distance 255."""
    red, green, blue = colours[..., 0], colours[..., 1], colours[..., 2]
    return red - (green + blue) / 2, (green - blue) * np.float32(np.sqrt(3) / 2)


def measure(
    pixels: Array, key: tuple[int, int, int] | None = None, least: float = _LEAST_SHARE
) -> Background:
    """Measure the background by the picture's border.

    ``key``: the requested colour, which is preferred if the border shows several. ``least``: share of the
    border that must show the background. Raises `NoBackground`.
    """
    border = _border(pixels)
    found = None
    if key is not None:
        requested = np.array(key, np.float32)
        like = border[
            tint(border, requested) >= _TINTED * max(1.0, float(tint(requested[None], requested)[0]))
        ]
        found = _most_frequent(like, least * len(border)) if len(like) else None
    if found is None:
        found = _most_frequent(border, least * len(border))
    if found is None:
        raise _no_background()
    return _fit_surface(pixels, found)


def _no_background() -> NoBackground:
    return NoBackground("shows no flat background at its border, so there is none to remove")


def _border(pixels: Array) -> Array:
    """(n, 3): the colours of a frame at least 2 px wide."""
    wide = max(2, min(pixels.shape[:2]) // 96)
    parts = pixels[:wide], pixels[-wide:], pixels[:, :wide], pixels[:, -wide:]
    return np.concatenate([part.reshape(-1, 3) for part in parts]).astype(np.float32)


def _most_frequent(colours: Array, least: float) -> Array | None:
    """The most frequent colour, if at least ``least`` pixels have it."""
    bins = (colours.astype(np.int32) >> 4) @ np.array([256, 16, 1])
    middle = colours[bins == np.bincount(bins, minlength=4096).argmax()].mean(0)
    like = colours[np.abs(colours - middle).max(1) < _SIMILAR]
    # Again, as the border of the bin may have split the colour.
    middle = np.median(like, axis=0)
    like = colours[np.abs(colours - middle).max(1) < _SIMILAR]
    middle = np.median(like, axis=0)
    return middle if len(like) >= least else None


def _fit_surface(pixels: Array, colour: Array) -> Background:
    """Fit the background's slope and noise to all pixels of a similar colour."""
    height, width = pixels.shape[:2]
    rows = np.linspace(0, height - 1, min(_GRID, height)).astype(int)
    columns = np.linspace(0, width - 1, min(_GRID, width)).astype(int)
    y, x = (part.ravel() for part in np.meshgrid(rows, columns, indexing="ij"))
    values = pixels[y, x].astype(np.float32)
    y, x = 2 * y / max(1, height - 1) - 1, 2 * x / max(1, width - 1) - 1
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], 1)
    residual = values - colour
    slope = np.zeros((6, 3))
    slope[0] = colour
    for bound in (_SIMILAR, _SIMILAR / 2, _SIMILAR / 3):
        like = np.abs(residual).max(1) < bound
        if like.sum() < 60:
            break
        slope = np.linalg.lstsq(terms[like], values[like], rcond=None)[0]
        residual = values - terms @ slope
    near = np.abs(residual)[np.abs(residual).max(1) < _SIMILAR / 2]
    noise = 1.4826 * float(np.median(near, axis=0).max()) if len(near) else 0.0
    if noise > _MOST_NOISE:
        raise _no_background()
    height_of = np.abs(terms @ slope - slope[0]).max()
    flat = height_of < _VISIBLE_SLOPE
    return Background((colour if flat else slope[0]).astype(np.float32), noise, None if flat else slope)


# Remove it.


def remove_background(image: Image.Image, key: tuple[int, int, int] | None = None) -> Image.Image:
    """The picture as RGBA without its background. ``key``: the requested colour. Raises `NoBackground`."""
    rgb = image.convert("RGB")
    pixels = np.asarray(rgb)
    background = measure(pixels, key)
    height, width = pixels.shape[:2]
    behind = background.whole(height, width)
    clear, zone = _zones(rgb, pixels, behind, background)
    out = np.empty((height, width, 4), np.uint8)
    out[..., :3] = pixels
    out[..., 3] = np.where(clear, 0, 255)
    if zone.any():
        _solve(out, clear, zone, behind, background)
    out[out[..., 3] == 0] = 0
    return Image.fromarray(out, "RGBA")


def _zones(rgb: Image.Image, pixels: Array, behind: Array, background: Background) -> tuple[Array, Array]:
    """Two masks: the pixels that show only background, and those near it that may be mixtures."""
    bound = min(40.0, 4.0 + 3.5 * background.noise)
    level = np.rint(behind).astype(np.int16)
    apart = _channel_max(np.abs(pixels - level))
    # The surrounding pixels distinguish a single noisy pixel from a thin hair.
    smooth = np.asarray(rgb.filter(ImageFilter.BoxBlur(1)))
    around = _channel_max(np.abs(smooth - level))
    like = (apart <= bound) | ((around <= bound / 2) & (apart <= 2 * bound))
    if not background.colourful:
        like &= _connected_to_border(like)
    reach = max(2, round(_ZONE * max(rgb.size)))
    mask = Image.fromarray(like.astype(np.uint8) * 255)
    near = np.asarray(mask.filter(ImageFilter.BoxBlur(reach))) > 0
    zone = near & ~like
    if background.colourful:
        zone |= _thin_gaps(mask, pixels, background, 4 * reach)
    return like, zone


def _connected_to_border(like: Array) -> Array:
    """The blocks of background that are connected to the border or form a wide hole.

    Inside the subject, a narrow region in the colour of a grey background may also be an eye or a tooth.
    """
    height, width = (side + -side % _BLOCK for side in like.shape)
    padded = np.pad(like, ((0, height - like.shape[0]), (0, width - like.shape[1])), constant_values=True)
    free: Array = padded.reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).all((1, 3))
    found: Array = free
    for _ in range(max(1, round(_WIDE * max(like.shape) / (2 * _BLOCK)))):
        found = _erode(found)
    found[0], found[-1], found[:, 0], found[:, -1] = free[0], free[-1], free[:, 0], free[:, -1]
    count = -1
    while count != (count := int(found.sum())):
        for _ in range(_BLOCK):
            found = _dilate(found) & free
    # Blocks that are partly subject are next to those that are not.
    near = _dilate(_dilate(found))
    return near.repeat(_BLOCK, 0).repeat(_BLOCK, 1)[: like.shape[0], : like.shape[1]]


def _thin_gaps(mask: Image.Image, pixels: Array, background: Background, reach: int) -> Array:
    """Gaps between strands without a pixel of pure background: tinted, thin, and near the background."""
    close = (np.asarray(mask.filter(ImageFilter.BoxBlur(reach))) > 0) & (np.asarray(mask) == 0)
    at = np.nonzero(close)
    tinted = np.zeros(close.shape, np.uint8)
    bound = _TINTED * max(1.0, float(tint(background.colour[None], background.colour)[0]))
    tinted[at] = tint(pixels[at].astype(np.float32), background.colour) > bound
    broad = Image.fromarray(_erode(tinted) * np.uint8(255)).filter(ImageFilter.BoxBlur(2))
    return (tinted > 0) & (np.asarray(broad) == 0)


def _channel_max(levels: Array) -> Array:
    """The greatest of the three channels; much faster than a reduction over the last axis."""
    return np.maximum(np.maximum(levels[..., 0], levels[..., 1]), levels[..., 2])


def _erode(mask: Array) -> Array:
    """The pixels of a 0/1 mask whose eight neighbours are in it too; outside the picture counts as in it."""
    rows = mask.copy()
    rows[1:] &= mask[:-1]
    rows[:-1] &= mask[1:]
    found = rows.copy()
    found[:, 1:] &= rows[:, :-1]
    found[:, :-1] &= rows[:, 1:]
    return found


def _dilate(mask: Array) -> Array:
    """The pixels of a mask and their eight neighbours."""
    rows = mask.copy()
    rows[1:] |= mask[:-1]
    rows[:-1] |= mask[1:]
    found = rows.copy()
    found[:, 1:] |= rows[:, :-1]
    found[:, :-1] |= rows[:, 1:]
    return found


def _solve(out: Array, clear: Array, zone: Array, behind: Array, background: Background) -> None:
    """Compute alpha and colour of the pixels in ``zone`` and write them to ``out``."""
    at: tuple[Array, Array] = np.nonzero(zone)  # pyright: ignore[reportAssignmentType] - it has two axes
    colour = out[..., :3][at].astype(np.float32)
    back = behind[at] if behind.shape[:2] == zone.shape else np.broadcast_to(behind[0], colour.shape)
    key = background.colour
    share = _share_by_tint(colour, back, key, background)
    grades = _grade(clear, zone, share)
    search = _search_colours(out, at, grades, colour, back, background.noise)
    alpha = _alpha(colour, back, share, search, background.noise)
    alpha[grades[at] == _INSIDE] = 1
    subject = _unmix(colour, back, search, alpha)
    if background.colourful:
        subject = _remove_spill(subject, search, key)
    out[..., 3][at] = np.rint(alpha * 255).astype(np.uint8)
    out[..., :3][at] = np.rint(np.clip(subject, 0, 255)).astype(np.uint8)


def _share_by_tint(colour: Array, back: Array, key: Array, background: Background) -> Array:
    """The subject's share in mixtures, assuming it has no tint of the key; for a grey key, by distance."""
    if background.colourful:
        return np.clip(1 - tint(colour, key) / np.maximum(tint(back, key), 1), 0, 1)
    return np.clip(np.abs(colour - back).max(1) / 96, 0, 1)


def _grade(clear: Array, zone: Array, share: Array) -> Array:
    """0 for pixels that may be mixtures or background, 1 for subject, `_INSIDE` for subject surrounded by
    it."""
    subject = (~clear & ~zone).astype(np.uint8)
    subject[zone] = share >= _PURE
    return subject + _erode(subject)


class _Search:
    """The subject's colour in each mixed pixel: the best of the candidates so far."""

    def __init__(self, colour: Array, back: Array, noise: float) -> None:
        count = len(colour)
        self._offset, self._back = colour - back, back
        self._square = np.einsum("ij,ij->i", self._offset, self._offset)
        self._scale = 1 / (3 * noise * noise + _TOLERANCE)
        self.cost = np.full(count, np.inf, np.float32)
        self.residual = np.full(count, np.inf, np.float32)
        """The unexplained residual, in squared levels; infinite if there was no candidate."""
        self.alpha = np.ones(count, np.float32)
        self.colour = np.zeros((count, 3), np.float32)

    def offer(self, which: Array, colours: Array, handicap: Array | float) -> None:
        """Try ``colours`` for the pixels ``which``; less likely colours have a higher handicap."""
        away = colours - self._back[which]
        length = np.einsum("ij,ij->i", away, away)
        along = np.einsum("ij,ij->i", away, self._offset[which])
        part = np.clip(along / np.maximum(length, 1), 0, 1)
        left = self._square[which] - part * (2 * along - part * length)
        cost = left * self._scale + handicap
        better = (cost < self.cost[which]) & (length > _APART * _APART)
        where = which[better]
        self.cost[where], self.residual[where], self.alpha[where] = cost[better], left[better], part[better]
        self.colour[where] = colours[better]


def _search_colours(
    out: Array, at: tuple[Array, Array], grades: Array, colour: Array, back: Array, noise: float
) -> _Search:
    """Try the surrounding colours, then, for pixels they do not explain, the subject's most frequent ones."""
    colours = np.pad(out[..., :3], ((_RIM, _RIM), (_RIM, _RIM), (0, 0))).reshape(-1, 3)
    padded = np.pad(grades, _RIM).ravel()
    width = out.shape[1] + 2 * _RIM
    place = (at[0] + _RIM) * width + at[1] + _RIM
    search = _Search(colour, back, noise)
    for step, far in _offsets(width):
        # No colour at this distance can be cheaper for the other pixels.
        open_ = np.flatnonzero(search.cost > far)
        around = place[open_] + step
        grade = padded[around]
        some = np.flatnonzero(grade)
        if len(some):
            handicap = far + np.where(grade[some] == _INSIDE, 0, np.float32(_THIN_HANDICAP))
            search.offer(open_[some], colours[around[some]].astype(np.float32), handicap)
    palette = _palette(out[..., :3][grades == _INSIDE])
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


def _offsets(width: int) -> list[tuple[int, float]]:
    """(offset in the flattened picture, handicap) for each of eight directions and each distance."""
    directions = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
    return [
        (r * (y * width + x), _FAR_HANDICAP * r * r * (y * y + x * x)) for r in _REACH for y, x in directions
    ]


def _alpha(colour: Array, back: Array, share: Array, search: _Search, noise: float) -> Array:
    """Alpha by the found colour if it explains the pixel, else by tint."""
    trust = np.exp(-np.maximum(search.residual, 0) / (2 * (3 * noise * noise + 14 * 14)))
    mixed = trust * search.alpha + (1 - trust) * share
    # No subject is brighter than white or darker than black, which bounds alpha from below.
    offset = colour - back
    room = np.where(offset > 0, 255 - back, back)
    least = np.max((np.abs(offset) - 3 * noise) / np.maximum(room, 1), axis=1)
    mixed = np.clip(np.maximum(mixed, least), 0, 1)
    return np.clip((mixed - _FAINT) / (1 - 2 * _FAINT), 0, 1)


def _unmix(colour: Array, back: Array, search: _Search, alpha: Array) -> Array:
    """The subject's colour without the background's share."""
    solid = np.maximum(alpha, 0.05)[:, None]
    unmixed = np.clip(back + (colour - back) / solid, 0, 255)
    known = np.isfinite(search.residual)[:, None]
    own_light = np.clip(unmixed - search.colour, -_FREEDOM, _FREEDOM)
    steady = np.clip((alpha[:, None] - 0.1) / 0.5, 0, 1)
    return np.where(known, search.colour + own_light * steady, unmixed)


def _remove_spill(subject: Array, search: _Search, key: Array) -> Array:
    """The colour without spill: the tint of the key beyond that of the surrounding subject."""
    own = np.where(np.isfinite(search.residual), np.maximum(tint(search.colour, key), 0), 0)
    excess = np.maximum(tint(subject, key) - own - _SPILL_SLACK, 0)
    return subject - excess[:, None] * (key / float(tint(key[None], key)[0]))
