"""A backend with one node, this process, which draws gradients with Pillow."""

import threading
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps

from imagemill.backends.base import (
    BackendContext,
    Node,
    Output,
    Progress,
    RenderCanceled,
    RenderControl,
    RenderRequest,
    RenderResult,
)
from imagemill.domain.errors import BackendError
from imagemill.domain.events import Stage
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import ImageSpec, RenderSpec

if TYPE_CHECKING:
    from imagemill.config import Settings

QUEUE = "gradient"
"""A queue of its own: no other node takes jobs of the recipe, and this one takes no others."""
STEPS = 20


class GradientBackend:
    name = "gradient"
    survives_worker = False
    stage_names = (Stage.SENT_TO_BACKEND, Stage.BACKEND_RESULT)
    renders_in_process = True

    def __init__(self, slots: int, suffix: str = "") -> None:
        self._node = Node(f"gradient{suffix}", self.name, frozenset({QUEUE}), slots, load_s=0)
        self._results: dict[str, RenderResult] = {}
        self._lock = threading.Lock()

    def nodes(self) -> Sequence[Node]:
        return [self._node]

    def unsupported_reason(self, work: RenderSpec) -> str | None:
        if not isinstance(work, ImageSpec):
            return "the gradient backend renders no graph"
        if work.format != "png":
            return f"the gradient backend writes PNG, not {work.format}"
        return None

    def requirements(self, work: RenderSpec) -> tuple[str, ...]:
        return ()

    def validate_hints(self, properties: Mapping[str, Any]) -> str | None:
        return None

    def send(self, request: RenderRequest) -> str:
        if request.node != self._node.name:
            raise BackendError(FailureCode.NODE_LOST, f"there is no node {request.node}")
        return request.reference

    def follow(self, request: RenderRequest, reference: str, control: RenderControl) -> RenderResult:
        """Draw the pictures. A second follower of the reference gets the same ones."""
        slow = float(request.properties.get("slow_s", 0))
        for step in range(1, STEPS + 1):
            if control.stopped or control.wait(min(slow, request.timeout_s) / STEPS):
                raise RenderCanceled
            control.progress(Progress(step, STEPS))
        if slow > request.timeout_s:
            raise BackendError(FailureCode.TIMEOUT, f"the gradient was not ready in {request.timeout_s:g} s")
        with self._lock:
            if reference not in self._results:
                self._results[reference] = RenderResult(_draw(request.work))
            return self._results[reference]

    def close(self) -> None:
        """Nothing is open."""


def _draw(work: RenderSpec) -> tuple[Output, ...]:
    assert isinstance(work, ImageSpec)
    red, green, blue = work.seed & 255, work.seed >> 8 & 255, work.seed >> 16 & 255
    ramp = Image.linear_gradient("L").resize((work.width, work.height))
    picture = ImageOps.colorize(ramp, (red, green, blue), (255 - red, 255 - green, 255 - blue))
    data = BytesIO()
    picture.save(data, "PNG")
    return tuple(Output(data.getvalue(), "image/png", seed=work.seed) for _ in range(work.count))


def build(settings: "Settings", context: BackendContext) -> GradientBackend | None:
    """Return the backend, or None where the settings disable it."""
    slots: int = getattr(settings, "gradient").slots  # noqa: B009 - the group is the plug-in's own
    return GradientBackend(slots, context.suffix) if slots else None
