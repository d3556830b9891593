"""Whether a node can use a model of a family, and what it lacks: node classes, text encoders and VAEs."""

from collections.abc import Iterator, Sequence

from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.families.rows import FileRow, Form, Variant
from imagemill.graphs.families.table import Families, FamilyMatch

Place = tuple[str, str]
"""(class, input) of a loader."""

CHECKPOINT: Place = ("CheckpointLoaderSimple", "ckpt_name")
UNET: Place = ("UNETLoader", "unet_name")
VAE: Place = ("VAELoader", "vae_name")
FOLDERS = {"text_encoder": "text_encoders", "vae": "vae", "checkpoint": "diffusion_models"}
"""Kind of file -> its folder below ComfyUI's ``models``."""
_KINDS = {"text_encoder": "text encoder", "vae": "VAE", "checkpoint": "model"}

_SAMPLING_CLASSES = {
    "ksampler": ("KSampler",),
    "guided": ("SamplerCustomAdvanced", "RandomNoise"),
    "custom": ("SamplerCustom",),
}


def classes_of(variant: Variant) -> frozenset[str]:
    """The node classes of a plain picture or video by this variant, besides the loaders of its files."""
    sampling, encoder = variant.sampling, variant.text_encoder
    encode = (variant.encode_references if variant.needs_reference else None) or variant.encode
    nodes = [*variant.patches, *variant.conditioning, *variant.latent_patches]
    nodes += encoder.patches if encoder is not None else ()
    if sampling.kind != "ksampler":
        nodes += [node for node in (sampling.sigmas, sampling.sampler, sampling.guider) if node is not None]
    names = {node.node for node in nodes} | {encode.node, "VAEDecode", *_SAMPLING_CLASSES[sampling.kind]}
    names |= {variant.latent.node} if not encode.gives_latent else set()
    names |= {"FluxGuidance"} if variant.guidance is not None else set()
    return frozenset(names)


def companions(variant: Variant, form: Form) -> list[tuple[str, Place, FileRow]]:
    """(kind, loader, file) of the files that a model of this form needs beside it."""
    encoder = variant.encoder(form)
    found = (
        [("text_encoder", (encoder.loader, encoder.inputs[0]), file) for file in encoder.files]
        if encoder
        else []
    )
    if form == "separate":
        found += [("vae", VAE, variant.vae)] if variant.vae is not None else []
        found += [("checkpoint", UNET, variant.second_model)] if variant.second_model is not None else []
    return found


def form_on(catalogue: Catalogue, model: str) -> Form | None:
    """The way in which a node loads a model's file; None if it does not list it."""
    for by_base_name in (False, True):
        if catalogue.file(*CHECKPOINT, model, by_base_name=by_base_name) is not None:
            return "checkpoint"
        if catalogue.file(*UNET, model, by_base_name=by_base_name) is not None:
            return "separate"
    return None


def missing(variant: Variant, catalogue: Catalogue, form: Form) -> tuple[str, ...]:
    """Return what a node lacks to use a model of this variant, in words; nothing if it can."""
    lacking = [f"the node class {name}" for name in sorted(classes_of(variant) - catalogue.classes)]
    encoder = variant.encoder(form)
    if encoder is not None and encoder.type:
        types = catalogue.options(encoder.loader, "type") or ()
        if encoder.type not in types:
            lacking.append(f"the type {encoder.type} of {encoder.loader} (update ComfyUI)")
    if form == "separate" and variant.text_encoder is None:
        lacking.append("a checkpoint with text encoders and VAE instead of a diffusion model alone")
    return (*lacking, *_missing_files(companions(variant, form), catalogue))


def _missing_files(wanted: Sequence[tuple[str, Place, FileRow]], catalogue: Catalogue) -> Iterator[str]:
    for kind, place, file in wanted:
        if file.choose(catalogue.options(*place) or ()) is None:
            yield f"the {_KINDS[kind]} {file.name} in models/{FOLDERS[kind]}"


def runnable(families: Families, catalogue: Catalogue) -> tuple[str, ...]:
    """The names of the families of which a node has a model and all that it needs, sorted."""
    listed = [*(catalogue.options(*CHECKPOINT) or ()), *(catalogue.options(*UNET) or ())]
    return tuple(sorted({
        found.family.name for file in listed if (found := _usable(families, catalogue, file)) is not None
    }))  # fmt: skip


def _usable(families: Families, catalogue: Catalogue, file: str) -> FamilyMatch | None:
    found, form = families.guess(file), form_on(catalogue, file)
    if found is None or form is None or missing(found.variant, catalogue, form):
        return None
    return found
