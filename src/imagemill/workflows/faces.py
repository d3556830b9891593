"""A second pass over the faces of a picture, by the Impact pack, where a node has it.

Core nodes have nothing like it, so a node without the pack gives the picture without the pass.
"""

from typing import Any

from imagemill.domain.images import ImageSpec
from imagemill.workflows.attachments import DECODE, NEGATIVE, POSITIVE, SAMPLER
from imagemill.workflows.catalogue import Catalogue
from imagemill.workflows.graphs import Graph
from imagemill.workflows.wiring import Link, add

DETAILER, PROVIDER = "FaceDetailer", "UltralyticsDetectorProvider"
_DETAIL, _DETECTOR = "50", "51"
_DENOISE = 0.4
"""Enough to draw a blurred face anew, too little to make it another one."""


def detector(catalogue: Catalogue | None) -> str | None:
    """The model by which the node finds faces; None: it cannot."""
    if catalogue is None or not {DETAILER, PROVIDER} <= catalogue.classes:
        return None
    models = catalogue.options(PROVIDER, "model_name") or ()
    return next((name for name in models if "bbox" in name.lower() and "face" in name.lower()), None)


def detail(graph: Graph, spec: ImageSpec, catalogue: Catalogue | None) -> Link:
    """The picture as it goes on: with the pass, or as it was decoded."""
    model = detector(catalogue) if spec.faces and SAMPLER in graph else None
    node_class = catalogue.node_class(DETAILER) if catalogue is not None else None
    if model is None or node_class is None:
        return (DECODE, 0)
    add(graph, _DETECTOR, PROVIDER, "Face detector", model_name=model)
    inputs: dict[str, Any] = {
        # What the pack's version asks for besides, as it would be by itself.
        **{
            name: each.default for name, each in node_class.inputs.items() if each.required and each.is_widget
        },
        "image": (DECODE, 0),
        "model": tuple(graph[SAMPLER]["inputs"]["model"]),
        "clip": tuple(graph[POSITIVE]["inputs"]["clip"]),
        "vae": tuple(graph[DECODE]["inputs"]["vae"]),
        "positive": (POSITIVE, 0),
        "negative": (NEGATIVE, 0),
        "bbox_detector": (_DETECTOR, 0),
        "seed": spec.seed,
        "steps": spec.steps,
        "cfg": spec.cfg_scale,
        "sampler_name": spec.sampler,
        "scheduler": spec.scheduler,
        "denoise": _DENOISE,
    }
    return (add(graph, _DETAIL, DETAILER, "Face detail", **inputs), 0)
