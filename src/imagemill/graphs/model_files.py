"""Find a request's files on a node: the loader that lists the model, its text encoders, VAE and
ControlNets."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from imagemill.domain.images import Control, ImageSpec, Network
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.errors import MissingFile, Unsupported

Form = Literal["checkpoint", "separate"]

CHECKPOINT, UNET = ("CheckpointLoaderSimple", "ckpt_name"), ("UNETLoader", "unet_name")
CONTROL = ("ControlNetLoader", "control_net_name")
CLIP, VAE = ("DualCLIPLoader", "clip_name1"), ("VAELoader", "vae_name")
ENCODER_TYPES = ("clip", "text_encoders", "textencoder")
_SEPARATE_TYPES = re.compile(r"(unet|diffusionmodel|diffusion_models)/", re.IGNORECASE)

_CLIP_L = (re.compile(r"clip[_-]?l(?![a-z])|vit-l", re.IGNORECASE),)
# fp16 first: fp8 halves the memory and costs quality, so it is used only when there is nothing else.
_T5 = (
    re.compile(r"t5[_-]?xxl.*fp16", re.IGNORECASE),
    re.compile(r"t5[_-]?xxl(?!.*fp8)", re.IGNORECASE),
    re.compile(r"t5[_-]?xxl", re.IGNORECASE),
)
_NOT_FLUX_2 = r"^(?!.*flux[._-]?2)"
_FLUX_VAE = (
    re.compile(r"^ae\.", re.IGNORECASE),
    re.compile(_NOT_FLUX_2 + r"(.*[._-])?ae([._-]|$)", re.IGNORECASE),
    re.compile(_NOT_FLUX_2 + r".*flux", re.IGNORECASE),
)
_CONTROL_FAMILIES = {
    "sd1": re.compile(r"sd[-_]?1|v11|1[._]5", re.IGNORECASE),
    "sdxl": re.compile(r"xl", re.IGNORECASE),
    "flux1": re.compile(r"flux", re.IGNORECASE),
}
"""Model family -> pattern in the names of published ControlNets for it."""
DEFAULT_CLIP_L, DEFAULT_T5, DEFAULT_VAE = "clip_l.safetensors", "t5xxl_fp16.safetensors", "ae.safetensors"
"""The names under which the files are published; used when there is no catalogue."""
_FORMS: tuple[tuple[Form, tuple[str, str]], ...] = (("checkpoint", CHECKPOINT), ("separate", UNET))


@dataclass(frozen=True, slots=True)
class CompanionFiles:
    """The text encoders and the VAE that a diffusion model in a separate file needs."""

    clip_l: str
    t5: str
    vae: str


def resolve_file(catalogue: Catalogue | None, place: tuple[str, str], kind: str, wanted: str) -> str:
    """The file as the loader's input lists it; unchanged if there is no catalogue. Raises `MissingFile`."""
    if catalogue is None:
        return wanted
    found = catalogue.file(*place, wanted)
    if found is None:
        raise MissingFile(kind, wanted, catalogue.ambiguity(kind, wanted))
    return found


def model_file(spec: ImageSpec, catalogue: Catalogue | None) -> tuple[Form, str]:
    """The way the model is loaded (as a checkpoint, or by separate loaders for Flux), and its file.

    Raises `MissingFile` and `Unsupported`.
    """
    if catalogue is None:
        is_separate = bool(_SEPARATE_TYPES.match(spec.model_path)) or bool(_of_types(spec, *ENCODER_TYPES))
        return ("separate" if is_separate and spec.family == "flux1" else "checkpoint"), spec.model_path
    for by_base_name in (False, True):
        for form, place in _FORMS:
            found = catalogue.file(*place, spec.model_path, by_base_name=by_base_name)
            if found is None:
                continue
            if form == "separate" and spec.family != "flux1":
                raise Unsupported(
                    f"{spec.model_path} is only a diffusion model without text encoders on the node; "
                    f"put the whole checkpoint of the family {spec.family} into its folder checkpoints"
                )
            return form, found
    raise MissingFile("checkpoint", spec.model_path, catalogue.ambiguity("checkpoint", spec.model_path))


def find_companions(spec: ImageSpec, catalogue: Catalogue | None) -> CompanionFiles:
    """The files the request names, else those found on the node by their names. Raises `MissingFile`."""
    encoders = _of_types(spec, *ENCODER_TYPES)
    t5 = next((one for one in encoders if "t5" in _file(one).lower()), None)
    clip_l = next((one for one in encoders if one is not t5), None)
    own_vae = next(iter(_of_types(spec, "vae")), None)
    return CompanionFiles(
        clip_l=_choose(catalogue, CLIP, "text_encoder", clip_l, _CLIP_L, DEFAULT_CLIP_L),
        t5=_choose(catalogue, CLIP, "text_encoder", t5, _T5, DEFAULT_T5),
        vae=_choose(catalogue, VAE, "vae", own_vae, _FLUX_VAE, DEFAULT_VAE),
    )


def find_controlnet(catalogue: Catalogue | None, control: Control, family: str) -> str:
    """The ControlNet the request names, else the one on the node whose name fits the preprocessor.

    Raises `MissingFile`.
    """
    if control.model_path:
        return resolve_file(catalogue, CONTROL, "controlnet", control.model_path)
    purpose = f"{control.preprocessor.lower() or 'a map'} {family}"
    if catalogue is None:
        return f"{purpose.replace(' ', '_')}.safetensors"
    found = find_installed_controlnet(purpose, catalogue)
    if found is None:
        raise MissingFile("control", purpose, "name its model, or install one for this model family")
    return found


def find_installed_controlnet(purpose: str, catalogue: Catalogue) -> str | None:
    """The ControlNet among the node's files for a purpose such as ``canny sd1``; None if there is none."""
    kind, _, family = purpose.rpartition(" ")
    listed = catalogue.options(*CONTROL) or ()
    others = [pattern for name, pattern in _CONTROL_FAMILIES.items() if name != family]
    fitting = [name for name in listed if re.search(re.escape(kind), name, re.IGNORECASE)]
    own = _CONTROL_FAMILIES.get(family)
    named = [name for name in fitting if own is not None and own.search(name)]
    unspecific = [name for name in fitting if not any(other.search(name) for other in others)]
    return next(iter(named or unspecific), None)


def has_companions(model_path: str, catalogue: Catalogue) -> bool:
    """Whether the node can load the Flux model: as a checkpoint, or with text encoders and a VAE it has."""
    if catalogue.file(*CHECKPOINT, model_path) is not None:
        return True
    sought = ((CLIP, _CLIP_L), (CLIP, _T5), (VAE, _FLUX_VAE))
    return catalogue.file(*UNET, model_path) is not None and all(
        _first_match(catalogue.options(*place) or (), patterns) is not None for place, patterns in sought
    )


def _choose(
    catalogue: Catalogue | None,
    place: tuple[str, str],
    kind: str,
    named: Network | None,
    patterns: Iterable[re.Pattern[str]],
    usual: str,
) -> str:
    if named is not None:
        return resolve_file(catalogue, place, kind, _file(named))
    if catalogue is None:
        return usual
    found = _first_match(catalogue.options(*place) or (), patterns)
    if found is None:
        raise MissingFile(kind, usual, "a Flux diffusion model in a separate file needs it")
    return found


def _first_match(listed: tuple[str, ...], patterns: Iterable[re.Pattern[str]]) -> str | None:
    """The first file whose base name matches the first pattern that any file matches."""
    bases = {name: name.replace("\\", "/").rsplit("/", 1)[-1] for name in listed}
    return next((n for pattern in patterns for n, base in bases.items() if pattern.search(base)), None)


def _of_types(spec: ImageSpec, *types: str) -> list[Network]:
    return [network for network in spec.networks if network.type in types]


def _file(network: Network) -> str:
    return network.path or network.air
