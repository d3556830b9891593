"""The part of an illustration that a node draws, and the place of the faces in it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import numpy as np

from imagemill.domain.dataclass import dataclass
from imagemill.products.books.book_manifest import Box
from imagemill.products.books.identity.base import FaceTarget, PictureRequest
from imagemill.products.books.identity.masks import FaceArea, face_area
from imagemill.products.books.identity.paste import CropBox, crop_for, crop_mask
from imagemill.products.books.identity.rasters import Pixels, read_pixels, write_png


@dataclass(frozen=True, slots=True)
class NodeCrop:
    """A square of an illustration around the faces that change."""

    picture: bytes
    """A PNG of the size in which the node draws."""
    place: CropBox
    target: FaceTarget
    """All places of faces as one, for `PasteBack`."""
    mask: bytes
    """A PNG of the size of ``picture``, white where any face may change."""
    masks: tuple[bytes, ...]
    """The same for each target."""


def crop_of(request: PictureRequest, side: int) -> NodeCrop:
    """Cut the square around all targets of a picture. Raises `InvalidImage`."""
    page = read_pixels(request.base)
    height, width = page.shape[:2]
    areas = [face_area(page, target) for target in request.targets]
    boxes = [area.frame.box(width, height) for area in areas]
    picture, place = crop_for(request.base, reduce(_around, boxes), side)
    target = _one_target(page, request.targets, areas, boxes[0])
    mask = crop_mask(request.base, target, place, side)
    own = (
        [mask]
        if len(areas) == 1
        else [crop_mask(request.base, each, place, side) for each in request.targets]
    )
    return NodeCrop(picture, place, target, mask, tuple(own))


def left_to_right(request: PictureRequest) -> PictureRequest:
    """Return the request with the boxes of the faces, in their order on the page. Raises `InvalidImage`."""
    page = read_pixels(request.base)
    height, width = page.shape[:2]
    frames = [face_area(page, target).frame for target in request.targets]
    ordered = sorted(zip(frames, request.targets, strict=True), key=lambda each: each[0].x)
    targets = (replace(target, box=frame.box(width, height), tilt=frame.tilt) for frame, target in ordered)
    return replace(request, targets=tuple(targets))


def _around(one: Box, other: Box) -> Box:
    """The box around two boxes."""
    left, top = min(one.x, other.x), min(one.y, other.y)
    right = max(one.x + one.width, other.x + other.width)
    bottom = max(one.y + one.height, other.y + other.height)
    return Box(x=left, y=top, width=right - left, height=bottom - top)


def _one_target(
    page: Pixels, targets: Sequence[FaceTarget], areas: Sequence[FaceArea], box: Box
) -> FaceTarget:
    """The only target with the box of its face, so that it is not searched again; or the mask of several.

    The box also tells how wide the soft edge is, which is that of one face.
    """
    frame = areas[0].frame
    if len(targets) == 1:
        return replace(targets[0], box=box, tilt=frame.tilt)
    union = np.zeros(page.shape[:2], np.uint8)
    for area in areas:
        union[area.part] = np.maximum(union[area.part], np.rint(area.alpha * 255).astype(np.uint8))
    return FaceTarget(targets[0].character, write_png(union), box, frame.tilt)
