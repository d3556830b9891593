"""Squares of an illustration around a face: cut out for a node, and put back."""

import numpy as np
from PIL import Image

from imagemill.products.books.book_manifest import Box
from imagemill.products.books.identity.base import CropBox, FaceTarget, Size
from imagemill.products.books.identity.blends import lay_over, meet_edge
from imagemill.products.books.identity.masks import Alpha, FaceArea, face_area
from imagemill.products.books.identity.rasters import Pixels, read_pixels, resized, write_png

_ROOM = 2.0
"""Side of the crop in sizes of the face: hair, neck and light around it, at half of the node's pixels."""
_SOFT_EDGE = 0.04
"""Width of the soft edge at the border of the crop, in sides of the crop, for masks that reach beyond it."""


def cut(base: bytes, box: Box, side: int) -> tuple[int, int, int, Size, bytes]:
    """Return the place of the square around a face, the picture's size, and the square as PNG."""
    pixels = read_pixels(base)
    height, width = pixels.shape[:2]
    wanted = _ROOM * max(box.width * width, box.height * height)
    length = max(1, min(round(wanted), width, height))
    left = _within((box.x + box.width / 2) * width - length / 2, width - length)
    top = _within((box.y + box.height / 2) * height - length / 2, height - length)
    part = np.ascontiguousarray(pixels[top : top + length, left : left + length])
    return left, top, length, (width, height), write_png(resized(part, (side, side)))


def cut_mask(base: bytes, target: FaceTarget, crop: CropBox, side: int) -> bytes:
    """Return the target's feathered mask within the crop, as a grey PNG of ``side`` pixels."""
    area = face_area(read_pixels(base), target)
    width, height = crop.picture
    whole = np.zeros((height, width), np.uint8)
    whole[area.part] = np.rint(area.alpha * 255).astype(np.uint8)
    part = whole[crop.top : crop.top + crop.side, crop.left : crop.left + crop.side]
    return write_png(np.array(Image.fromarray(part).resize((side, side), Image.Resampling.BILINEAR)))


def paste(page: Pixels, drawn: Pixels, crop: CropBox, target: FaceTarget) -> Pixels:
    """Return the page with the picture of the crop, its colours matched to the page at the mask's edge."""
    height, width = page.shape[:2]
    across, down = width / crop.picture[0], height / crop.picture[1]
    left, top = round(crop.left * across), round(crop.top * down)
    columns = min(width - left, max(1, round(crop.side * across)))
    rows = min(height - top, max(1, round(crop.side * down)))
    area = _within_crop(face_area(page, target), left, top, columns, rows)
    painted = page.copy()
    face = resized(drawn, (columns, rows)).astype(np.float32)
    beneath = page[area.part].astype(np.float32)
    lay_over(painted, area, meet_edge(face, beneath, area.alpha, 1.0, same_scene=True))
    return painted


def _within_crop(area: FaceArea, left: int, top: int, columns: int, rows: int) -> FaceArea:
    """Return the area on the crop's pixels, with a soft edge towards the crop's border."""
    alpha: Alpha = np.zeros((rows, columns), np.float32)
    area_rows, area_columns = area.alpha.shape
    first_row, first_column = max(top, area.top), max(left, area.left)
    last_row, last_column = (
        min(top + rows, area.top + area_rows),
        min(left + columns, area.left + area_columns),
    )
    if first_row < last_row and first_column < last_column:
        alpha[first_row - top : last_row - top, first_column - left : last_column - left] = area.alpha[
            first_row - area.top : last_row - area.top, first_column - area.left : last_column - area.left
        ]
    return FaceArea(area.frame, left, top, alpha * np.outer(_ramp(rows), _ramp(columns)))


def _ramp(length: int) -> Alpha:
    """1 in the middle of a crop's side, and falling to 0 at both ends."""
    edge = np.minimum(np.arange(length), np.arange(length)[::-1])
    return np.clip(edge / max(1.0, _SOFT_EDGE * length), 0, 1).astype(np.float32)


def _within(start: float, most: int) -> int:
    return max(0, min(round(start), most))
