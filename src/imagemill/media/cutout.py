"""Remove any kind of background with a U²-Net in ONNX, such as u2netp; needs the extra ``classify``.

The model is passed as bytes, so that a confined process can use it. Input: one picture of 320 x 320 (or
the size the model states), planes first, red, green and blue divided by the picture's brightest level,
less the means of ImageNet, divided by its deviations. First output: the probability of each pixel to
belong to the subject.
"""

import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from imagemill.media.chroma_key import Array

_SIDE = 320
_MEANS = (0.485, 0.456, 0.406)
_DEVIATIONS = (0.229, 0.224, 0.225)
_THREADS = 1
"""Threads of one inference; several pictures are processed at once already."""
_SURE = 242
"""Alpha, 0 to 255, from which a pixel shows only the subject's colour."""
_FLAT = 1e-6
"""Smallest spread of a model's output that is significant."""
_LOCK = threading.Lock()


def cut_out(picture: Image.Image, model: bytes) -> Image.Image:
    """The picture as RGBA without the background the model finds. Raises ValueError for an unusable model."""
    rgb = picture.convert("RGB")
    alpha = _alpha(rgb, _session(model))
    out = np.dstack([_clean_edges(rgb, alpha), alpha])
    out[alpha == 0] = 0
    return Image.fromarray(out, "RGBA")


def _alpha(rgb: Image.Image, session: Any) -> Array:
    given = session.get_inputs()[0]
    side = given.shape[2] if isinstance(given.shape[2], int) else _SIDE
    small = np.asarray(rgb.resize((side, side), Image.Resampling.BILINEAR), np.float32)
    values = small / max(float(small.max()), 1.0)
    values = (values - np.array(_MEANS, np.float32)) / np.array(_DEVIATIONS, np.float32)
    answer = session.run([session.get_outputs()[0].name], {given.name: values.transpose(2, 0, 1)[None]})[0]
    scores = np.asarray(answer, np.float32).reshape(side, side)
    low, high = float(scores.min()), float(scores.max())
    if high - low < _FLAT:
        return np.zeros((rgb.height, rgb.width), np.uint8)
    levels = np.rint((scores - low) / (high - low) * 255).astype(np.uint8)
    return np.array(Image.fromarray(levels).resize(rgb.size, Image.Resampling.BICUBIC))


def _clean_edges(rgb: Image.Image, alpha: Array) -> Array:
    """The colours, with the subject's soft edge replaced by colours from inside: no background shows
    through."""
    pixels = np.asarray(rgb)
    sure = alpha >= _SURE
    soft = (alpha > 0) & ~sure
    if not sure.any() or not soft.any():
        return pixels
    found, known = pixels.copy(), sure
    reach = 2
    while (open_ := soft & ~known).any() and reach <= max(rgb.size):
        weight = np.asarray(Image.fromarray(sure.astype(np.uint8) * 255).filter(ImageFilter.BoxBlur(reach)))
        inside = Image.fromarray(pixels * sure[..., None]).filter(ImageFilter.BoxBlur(reach))
        at = np.nonzero(open_ & (weight >= 8))
        spread = np.asarray(inside)[at] * (255 / weight[at].astype(np.float32))[:, None]
        found[at] = np.clip(spread, 0, 255).astype(np.uint8)
        known = known | (open_ & (weight >= 8))
        reach *= 2
    return found


def _session(model: bytes) -> Any:
    with _LOCK:
        return _open_session(model)


@lru_cache(maxsize=1)
def _open_session(model: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError("a cut-out model needs onnxruntime: pip install 'imagemill[classify]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = _THREADS
    try:
        session = onnxruntime.InferenceSession(
            model, sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise ValueError(f"the cut-out model cannot be loaded: {type(error).__name__}") from error
    shape = session.get_inputs()[0].shape
    if len(shape) != 4 or shape[1] != 3:
        raise ValueError(f"the cut-out model takes {shape}, not one picture with its planes first")
    return session


def load_model(path: Path, setting: str) -> bytes:
    """Read and check a model at start, where an error can name the setting. Raises ValueError."""
    if not path.is_file():
        raise ValueError(f"{setting} names {path}, which is not a file")
    model = path.read_bytes()
    try:
        _session(model)
    except ValueError as error:
        raise ValueError(f"{setting} names {path}: {error}") from error
    return model
