"""Pictures as arrays of pixels, and back as files for print."""

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from imagemill.media.layout import InvalidImage
from imagemill.media.pixels import on_white, plain

Pixels = NDArray[np.uint8]
"""Rows, columns, and red, green and blue."""

FORMATS = ("PNG", "JPEG", "WEBP")
MOST_PIXELS = 100_000_000
"""Most pixels of a picture: cameras make up to 100 megapixels, and a page at print size has seven."""
PRINT_DPI = 300


def read_pixels(data: bytes, most_side: int | None = None) -> Pixels:
    """Return a picture of any mode, upright and on white. Raises `InvalidImage`.

    ``most_side``: the longer side to which a larger picture is scaled down.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise InvalidImage(
                    f"is {picture.width} x {picture.height}; at most {MOST_PIXELS} pixels are accepted"
                )
            if most_side is not None:
                picture.draft("RGB", (most_side, most_side))
            picture.load()
            orientation = picture.getexif().get(0x0112, 1)
            shown = on_white(plain(picture, data))
        if most_side is not None:
            shown.thumbnail((most_side, most_side), Image.Resampling.LANCZOS, reducing_gap=3)
        if orientation != 1:
            shown.getexif()[0x0112] = orientation
            shown = ImageOps.exif_transpose(shown)
    except Image.DecompressionBombError as error:
        raise InvalidImage(f"has more than {MOST_PIXELS} pixels; at most so many are accepted") from error
    except InvalidImage:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, KeyError, MemoryError) as error:
        raise InvalidImage("cannot be decoded: the file is damaged; save the picture again") from error
    return np.array(shown, np.uint8)


def read_grey(data: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the brightness of a picture, scaled to a size in pixels. Raises `InvalidImage`."""
    shown = Image.fromarray(read_pixels(data)).convert("L")
    if shown.size != size:
        shown = shown.resize(size, Image.Resampling.BILINEAR)
    return np.array(shown, np.uint8)


def shrunk(pixels: Pixels, factor: float) -> Pixels:
    """Return the picture made smaller without aliasing, at least one pixel in each direction."""
    height, width = pixels.shape[:2]
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Return the picture at a size; the same array where it has this size already."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS), np.uint8)


def write_jpeg(pixels: Pixels, quality: int, *, dpi: int | None = None) -> bytes:
    """Return a JPEG without chroma subsampling and without metadata beside its resolution."""
    file = io.BytesIO()
    resolution = {} if dpi is None else {"dpi": (dpi, dpi)}
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=0, **resolution)
    return file.getvalue()


def write_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG that is written quickly."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()
