"""Blend a face into a page: tone, colours that meet at the edge, opacity."""

import cv2
import numpy as np
from numpy.typing import NDArray

from imagemill.products.books.identity.masks import Alpha, FaceArea
from imagemill.products.books.identity.rasters import Pixels

Floats = NDArray[np.float32]

_TONE = 0.35
"""Share of the way to the illustration's skin colour and contrast that a face goes everywhere. A child keeps
the own colour of skin, so the way is bounded too."""
_MOST_TONE = np.array((16.0, 8.0, 8.0), np.float32)
"""Most steps of lightness and of the two colours."""
_ALIKE = 38.0
"""Distance of colours up to which a pixel at the edge counts as skin. Hair and hats there do not tint the
face."""
_SMALL = 192
"""Longer side in pixels at which the colours of the edge are spread over the face; they are smooth."""
_CORE, _RIM = 0.6, 0.02
"""Opacities: the middle of a face is above the first, its edge between them."""
_SHOULDER = 215.0
"""Level from which brightened skin approaches white without reaching it."""
_DARKEST = 8
"""Level from which ratios of colours are taken; below it they are noise."""


def lab(rgb: Floats) -> Floats:
    """Return CIE Lab with the lightness 0 to 255 and the colours around 0, in about the same steps."""
    found = cv2.cvtColor(np.clip(rgb, 0, 255) / np.float32(255), cv2.COLOR_RGB2LAB)
    found[..., 0] *= 2.55
    return found.astype(np.float32)


def rgb(colours: Floats) -> Floats:
    """Return the levels of red, green and blue of what `lab` returned."""
    plain = colours.copy()
    plain[..., 0] /= 2.55
    return (cv2.cvtColor(plain, cv2.COLOR_LAB2RGB) * 255).astype(np.float32)


def match_tone(face: Floats, beneath: Floats, alpha: Alpha) -> Floats:
    """Return the face, moved towards the means and deviations of the face beneath; all in Lab."""
    core = alpha > _CORE
    if not core.any():
        return face
    mean, goal = face[core].mean(0), beneath[core].mean(0)
    spread, wanted = face[core].std(0) + 1e-3, beneath[core].std(0)
    step = np.clip((goal - mean) * _TONE, -_MOST_TONE, _MOST_TONE)
    contrast = 1 + (np.clip(wanted / spread, 0.8, 1.2) - 1) * _TONE
    return ((face - mean) * contrast + mean + step).astype(np.float32)


def meet_edge(
    face: Floats, beneath: Floats, alpha: Alpha, middle: float, *, same_scene: bool = False
) -> Floats:
    """Return the face with the colours that the page has at the face's edge; levels of red, green and blue.

    The ratio at the edge is spread smoothly over the face, whole at the edge and by the share ``middle`` in
    its middle. Unlike Poisson blending it leaves out hair and background at the edge. ``same_scene``: the
    face is a redrawn part of the page, so the edge counts wherever both agree, whatever it shows.
    """
    rows, columns = alpha.shape
    scale = min(1.0, _SMALL / max(rows, columns))
    size = (max(2, round(columns * scale)), max(2, round(rows * scale)))
    small_alpha, small_face, small_base = (
        cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (alpha, face, beneath)
    )
    core = small_alpha > _CORE
    if not core.any():
        return face
    face_lab, base_lab = lab(small_face.astype(np.float32)), lab(small_base.astype(np.float32))
    if same_scene:
        alike = _distance(face_lab, base_lab) < _ALIKE
    else:
        alike = _distance(base_lab, np.median(base_lab[core], axis=0)) < _ALIKE
        alike &= _distance(face_lab, np.median(face_lab[core], axis=0)) < _ALIKE
    weight = ((small_alpha > _RIM) & (small_alpha < _CORE) & alike).astype(np.float32)
    # Ratios, not differences: an added step would turn dark skin grey.
    ratio = np.log(np.maximum(small_base, _DARKEST) / np.maximum(small_face, _DARKEST))
    width = 0.22 * float(np.sqrt(core.sum()))
    total = cv2.GaussianBlur(weight, (0, 0), width) + 1e-4
    spread = cv2.GaussianBlur(ratio * weight[..., None], (0, 0), width) / total[..., None]
    # The share falls over the whole face: a fall near the edge would show as a ring where the skins differ.
    depth = cv2.GaussianBlur(core.astype(np.float32), (0, 0), width)
    depth = np.clip((depth - 0.5) / max(1e-3, float(depth.max()) - 0.5), 0, 1)
    share = 1 - (1 - middle) * depth
    step = cv2.resize(spread * share[..., None], (columns, rows), interpolation=cv2.INTER_CUBIC)
    return _soft_white(face * np.exp(step))


def lay_over(page: Pixels, area: FaceArea, face: Floats) -> None:
    """Lay the face over the area of the page. Pixels where ``alpha`` is 0 stay as they are, bit by bit."""
    beneath = page[area.part].astype(np.float32)
    mixed = beneath + (face - beneath) * area.alpha[..., None]
    changed = area.alpha > 0
    page[area.part][changed] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)[changed]


def _soft_white(levels: NDArray[np.floating]) -> Floats:
    """Return the levels, the brightest ones pressed together below white: highlights keep their shape."""
    room = 255 - _SHOULDER
    pressed = _SHOULDER + room * (1 - np.exp(-np.maximum(levels - _SHOULDER, 0) / room))
    return np.where(levels > _SHOULDER, pressed, levels).astype(np.float32)


def _distance(a: Floats, b: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.linalg.norm(a - b, axis=2)
