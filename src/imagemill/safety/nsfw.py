"""A picture classifier that runs an ONNX model such as open_nsfw; needs the extra ``classify``.

Input: one picture of 224 x 224 pixels; blue, green and red minus the means of the training set, as 32-bit
floats, channels first (NCHW) or last (NHWC) as the model declares. Output: scores that add up to 1.
"""

import threading
from pathlib import Path
from typing import Any

from imagemill.domain.moderation import ALLOWED, ModerationResult, Verdict

_SIDE = 224
_SCALED = 256 / 224
"""Factor by which a picture is scaled larger than the model's input; the centre is cropped from it."""
_MEANS = (104.0, 117.0, 123.0)
"""Means of blue, green and red."""
_THREADS = 1
"""Threads of one model run. Several pictures are classified concurrently anyway."""


class Nsfw:
    """The classifier. ``output`` is the index of the score; ``flag`` and ``block`` are thresholds for it."""

    name = "nsfw"

    def __init__(self, model: Path, *, output: int, flag: float, block: float) -> None:
        if not model.is_file():
            raise ValueError(f"IMAGEMILL_SAFETY__NSFW_MODEL: {model} is not a file")
        try:
            import onnxruntime  # noqa: F401 - an extra
        except ImportError as error:
            raise ValueError(
                "IMAGEMILL_SAFETY__NSFW_MODEL needs onnxruntime: pip install 'imagemill[classify]'"
            ) from error
        self._path = model
        self._output = output
        self._flag = flag
        self._block = block
        self._lock = threading.Lock()
        self._model: _Model | None = None

    def judge(self, picture: Any, job: Any) -> ModerationResult:
        """Classify an `imagemill.safety.gates.Picture`."""
        del job
        score = self.score(picture)
        if score >= self._block:
            return ModerationResult(Verdict.BLOCK, "nsfw")
        return ModerationResult(Verdict.FLAG, "nsfw") if score >= self._flag else ALLOWED

    def score(self, picture: Any) -> float:
        with self._lock:
            model = self._model = self._model or _Model(self._path)
        scaled = round(model.side * _SCALED)
        return float(model.scores(picture.raster(scaled, scaled), scaled)[self._output])


class _Model:
    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = _THREADS
        self._session = onnxruntime.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
        first = self._session.get_inputs()[0]
        self._input = first.name
        shape = [side if isinstance(side, int) else 0 for side in first.shape]
        self._planes_first = len(shape) == 4 and shape[1] == 3
        given = shape[2] if len(shape) == 4 else 0
        self.side = given or _SIDE

    def scores(self, pixels: bytes, scaled: int) -> Any:
        import numpy

        picture = numpy.frombuffer(pixels, numpy.uint8).reshape(scaled, scaled, 3)
        edge = (scaled - self.side) // 2
        middle = picture[edge : edge + self.side, edge : edge + self.side, ::-1]
        values = middle.astype(numpy.float32) - numpy.array(_MEANS, numpy.float32)
        if self._planes_first:
            values = values.transpose(2, 0, 1)
        given = {self._input: numpy.ascontiguousarray(values[None])}
        return numpy.asarray(self._session.run(None, given)[0]).reshape(-1)
