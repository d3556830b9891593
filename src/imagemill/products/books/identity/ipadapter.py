"""Draw a face with IPAdapter FaceID Plus V2 on a ComfyUI node that has the pack ComfyUI_IPAdapter_plus.

The weights of InsightFace, which the pack loads, are licensed for research only.
"""

from collections.abc import Sequence

from imagemill.domain.images import GraphSpec
from imagemill.graphs.graph import Graph, Link, add
from imagemill.products.books.identity.base import (
    FACE_INPUT,
    FaceTarget,
    IdentityChoice,
    PicturePlan,
    PictureRequest,
    Size,
    one_line,
)

LOADER, APPLY = "IPAdapterUnifiedLoaderFaceID", "IPAdapterFaceID"
CLASSES = (LOADER, APPLY)
"""The classes of the pack that are used."""
SIDES = {"sd1": 768, "sdxl": 1024}
"""Family -> pixels of a side that is drawn."""
PAGE, MASK = "page", "mask"
"""Names of the inputs. With several targets, ``mask.NUMBER`` is that of one."""
WEIGHT, WEIGHT_V2 = 1.1, 1.0
_LORA_STRENGTH = 0.6
STEPS, CFG, DENOISE = 30, 4.0, 0.6
SAMPLER, SCHEDULER = "dpmpp_2m_sde_gpu", "exponential"
_NEGATIVE = "photo, photorealistic, deformed face, extra person, text, watermark"


class IpAdapterMode:
    """The identity mode ``ipadapter``. ``strength``: a factor of the weight of the face."""

    def __init__(self, choice: IdentityChoice, strength: float = 1.0) -> None:
        self._choice = choice
        self._weight = round(WEIGHT * strength, 4)
        self._side = SIDES[choice.family]

    @property
    def choice(self) -> IdentityChoice:
        return self._choice

    def outline(self, size: Size, faces: int = 1) -> PicturePlan:
        del size
        targets = tuple(FaceTarget(str(number)) for number in range(faces))
        return self._planned(self._graph(targets, "", "", 0), 0)

    def plan(self, request: PictureRequest) -> PicturePlan:
        from imagemill.products.books.identity.node_crops import crop_of
        from imagemill.products.books.identity.paste import PasteBack

        request.check_faces()
        crop = crop_of(request, self._side)
        data = {PAGE: crop.picture, MASK: crop.mask}
        for target in request.targets:
            data[f"{FACE_INPUT}{target.character}"] = request.faces[target.character]
        if len(request.targets) > 1:
            data |= {f"{MASK}.{number}": mask for number, mask in enumerate(crop.masks)}
        words = (request.prompt, *request.people.values(), request.feedback)
        prompt = ", ".join(one_line(each) for each in words if each.strip())
        negative = ", ".join(filter(None, (request.negative_prompt.strip(), _NEGATIVE)))
        graph = self._graph(request.targets, prompt, negative, request.seed)
        planned = self._planned(graph, request.seed)
        transform = PasteBack(request.base, crop.place, crop.target, request.size)
        return PicturePlan(planned.work, data, transform, queue="gpu", model=planned.model)

    def _planned(self, graph: Graph, seed: int) -> PicturePlan:
        model = self._choice.model
        return PicturePlan(GraphSpec(graph, seed, (model,)), queue="gpu", model=model)

    def _graph(self, targets: Sequence[FaceTarget], prompt: str, negative: str, seed: int) -> Graph:
        graph: Graph = {}
        add(graph, "1", "CheckpointLoaderSimple", "Checkpoint", ckpt_name=self._choice.model_path)
        model: Link = ("1", 0)
        clip: Link = ("1", 1)
        for number, (file, strength) in enumerate(self._choice.loras):
            strengths = {"strength_model": strength, "strength_clip": strength}
            id_ = str(100 + number)
            add(graph, id_, "LoraLoader", "LoRA", model=model, clip=clip, lora_name=file, **strengths)
            model, clip = (id_, 0), (id_, 1)
        add(graph, "2", "LoadImage", "Part of the page", image=PAGE)
        mask = _add_mask(graph, 4, MASK)
        model = _add_faces(graph, model, targets, mask, self._weight)
        add(graph, "5", "CLIPTextEncode", "Positive prompt", text=prompt, clip=clip)
        add(graph, "6", "CLIPTextEncode", "Negative prompt", text=negative, clip=clip)
        add(graph, "7", "VAEEncode", "Encode page", pixels=("2", 0), vae=("1", 2))
        add(graph, "8", "SetLatentNoiseMask", "Draw inside the mask", samples=("7", 0), mask=mask)
        sampling = {"steps": STEPS, "cfg": CFG, "sampler_name": SAMPLER, "scheduler": SCHEDULER}
        sides = {"positive": ("5", 0), "negative": ("6", 0), "latent_image": ("8", 0), "model": model}
        add(graph, "9", "KSampler", "Sampler", seed=seed, denoise=DENOISE, **sampling, **sides)
        add(graph, "10", "VAEDecode", "Decode", samples=("9", 0), vae=("1", 2))
        add(graph, "11", "SaveImage", "Save", images=("10", 0), filename_prefix="face")
        return graph


def _add_mask(graph: Graph, first: int, name: str) -> Link:
    add(graph, str(first), "LoadImage", f"Picture {name}", image=name)
    loaded = {"image": (str(first), 0), "channel": "red"}
    return (add(graph, str(first + 20), "ImageToMask", f"Mask {name}", **loaded), 0)


def _add_faces(graph: Graph, model: Link, targets: Sequence[FaceTarget], mask: Link, weight: float) -> Link:
    """Add an IPAdapter for each target within its mask; return the model that draws all of them."""
    loading = {"preset": "FACEID PLUS V2", "lora_strength": _LORA_STRENGTH, "provider": "CPU"}
    add(graph, "3", LOADER, "IPAdapter", model=model, **loading)
    model = ("3", 0)
    for number, target in enumerate(targets):
        first = 200 + 40 * number
        own = _add_mask(graph, first + 2, f"{MASK}.{number}") if len(targets) > 1 else mask
        add(graph, str(first), "LoadImage", f"Face {number + 1}", image=f"{FACE_INPUT}{target.character}")
        inputs = {
            "model": model,
            "ipadapter": ("3", 1),
            "image": (str(first), 0),
            "weight": weight,
            "weight_faceidv2": WEIGHT_V2,
            "weight_type": "ease in-out",
            "combine_embeds": "concat",
            "start_at": 0.0,
            "end_at": 1.0,
            "embeds_scaling": "V only",
            "attn_mask": own,
        }
        model = (add(graph, str(first + 1), APPLY, f"Draw face {number + 1}", **inputs), 0)
    return model
