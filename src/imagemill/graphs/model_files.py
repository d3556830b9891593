"""Find a request's files on a node: the loader that lists the model, its text encoders, VAE and
ControlNets."""

import re

from imagemill.domain.images import Control, ImageSpec, Network
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.errors import MissingFile, Unsupported
from imagemill.graphs.families.availability import CHECKPOINT, FOLDERS, UNET, VAE, Place, form_on
from imagemill.graphs.families.rows import ControlRow, FileRow, Form, Variant, matches, normalise_name
from imagemill.graphs.families.table import Families

CONTROL_LOADERS: dict[str, Place] = {
    "ControlNetLoader": ("ControlNetLoader", "control_net_name"),
    "ModelPatchLoader": ("ModelPatchLoader", "name"),
}
ENCODER_TYPES = ("clip", "text_encoders", "textencoder")
_SEPARATE_TYPES = re.compile(r"(unet|diffusionmodel|diffusion_models)/", re.IGNORECASE)
_UNION = ("*union*", "*any*")
"""Patterns of ControlNets that take maps of several kinds."""
_OF_A_FAMILY = (
    "*sd1*", "*sd_1*", "*v11*", "*1_5*", "*xl*", "*flux*", "*sd3*", "*qwen*", "*z_image*", "*anima*"
)  # fmt: skip
"""Patterns of ControlNets whose names tell the family they are for."""


def resolve_file(catalogue: Catalogue | None, place: Place, kind: str, wanted: str) -> str:
    """The file as the loader's input lists it; unchanged if there is no catalogue. Raises `MissingFile`."""
    if catalogue is None:
        return wanted
    found = catalogue.file(*place, wanted)
    if found is None:
        raise MissingFile(kind, wanted, catalogue.ambiguity(kind, wanted))
    return found


def model_file(spec: ImageSpec, variant: Variant, catalogue: Catalogue | None) -> tuple[Form, str]:
    """The way the model is loaded, and its file. Raises `MissingFile` and `Unsupported`."""
    if catalogue is None:
        is_separate = bool(_SEPARATE_TYPES.match(spec.model_path)) or bool(_of_types(spec, *ENCODER_TYPES))
        can_be = variant.text_encoder is not None and variant.vae is not None
        form: Form = "separate" if is_separate or variant.loader == "diffusion_model" else "checkpoint"
        return (form if can_be else "checkpoint"), spec.model_path
    found = form_on(catalogue, spec.model_path)
    if found is None:
        raise MissingFile("checkpoint", spec.model_path, catalogue.ambiguity("checkpoint", spec.model_path))
    if found == "separate" and (variant.text_encoder is None or variant.vae is None):
        raise Unsupported(
            f"{spec.model_path} is only a diffusion model without text encoders on the node; "
            f"put the whole checkpoint of the family {spec.family} into its folder checkpoints"
        )
    place = CHECKPOINT if found == "checkpoint" else UNET
    return found, resolve_file(catalogue, place, "checkpoint", spec.model_path)


def companion_file(catalogue: Catalogue | None, place: Place, kind: str, wanted: FileRow, owner: str) -> str:
    """The node's file for a text encoder, a VAE or a second model of ``owner``. Raises `MissingFile`."""
    if catalogue is None:
        return wanted.name
    found = wanted.choose(catalogue.options(*place) or ())
    if found is None:
        patterns = ", ".join(each for each in wanted.patterns if not each.startswith("!"))
        raise MissingFile(
            kind,
            wanted.name,
            f"{owner} needs it; put it into ComfyUI's folder models/{FOLDERS[kind]} (a name like {patterns})",
        )
    return found


def encoder_files(spec: ImageSpec, variant: Variant, catalogue: Catalogue | None, owner: str) -> list[str]:
    """The files of the text encoder, in the loader's order: those the request names, else the node's.

    Raises `MissingFile`.
    """
    encoder = variant.text_encoder
    if encoder is None:
        return []
    place = (encoder.loader, encoder.inputs[0])
    left = [_file(network) for network in _of_types(spec, *ENCODER_TYPES)]
    chosen: dict[int, str] = {}
    for takes_any in (False, True):  # first those whose names tell their place
        for position, row in enumerate(encoder.files):
            fitting = [file for file in left if takes_any or _fits(row, file)]
            if position not in chosen and fitting:
                chosen[position] = fitting[0]
                left.remove(fitting[0])
    return [
        resolve_file(catalogue, place, "text_encoder", chosen[position])
        if position in chosen
        else companion_file(catalogue, place, "text_encoder", row, owner)
        for position, row in enumerate(encoder.files)
    ]


def own_vae(spec: ImageSpec, catalogue: Catalogue | None) -> str | None:
    """The VAE that the request names, as the node lists it. Raises `MissingFile`."""
    own = next(iter(_of_types(spec, "vae")), None)
    return None if own is None else resolve_file(catalogue, VAE, "vae", _file(own))


def names_encoders(spec: ImageSpec) -> bool:
    return bool(_of_types(spec, *ENCODER_TYPES))


def find_controlnet(
    catalogue: Catalogue | None, control: Control, family: str, rows: tuple[ControlRow, ...]
) -> tuple[ControlRow, str]:
    """The way in which a ControlNet is applied, and its file: the one that the request names, else the one on
    the node whose name fits the preprocessor.

    Raises `MissingFile`.
    """
    if control.model_path:
        return _named_controlnet(catalogue, control.model_path, rows)
    kind = control.preprocessor.lower() or "a map"
    if catalogue is None:
        return rows[0], f"{kind.replace(' ', '_')}_{family}.safetensors"
    for row in rows:
        found = _installed(kind, row, rows, catalogue)
        if found is not None:
            return row, found
    raise MissingFile("control", f"{kind} {family}", "name its model, or install one for this model family")


def _named_controlnet(
    catalogue: Catalogue | None, path: str, rows: tuple[ControlRow, ...]
) -> tuple[ControlRow, str]:
    if catalogue is None:
        fitting = (row for row in rows if matches(row.match, normalise_name(path)))
        return next(fitting, rows[0]), path
    for row in rows:
        found = catalogue.file(*CONTROL_LOADERS[row.loader], path)
        if found is not None:
            return row, found
    raise MissingFile("controlnet", path, catalogue.ambiguity("controlnet", path))


def find_installed_controlnet(purpose: str, catalogue: Catalogue, families: Families) -> str | None:
    """The ControlNet among the node's files for a purpose such as ``canny sd1``; None if there is none."""
    kind, _, name = purpose.rpartition(" ")
    found = families.find(name)
    rows = found.variant.controls if found is not None else ()
    return next((file for row in rows if (file := _installed(kind, row, rows, catalogue))), None)


def _installed(kind: str, row: ControlRow, rows: tuple[ControlRow, ...], catalogue: Catalogue) -> str | None:
    """The file for maps of a kind, of this family by its name, else of none that is known."""
    listed = {name: normalise_name(name) for name in catalogue.options(*CONTROL_LOADERS[row.loader]) or ()}
    fitting = {each: name for each, name in listed.items() if re.sub(r"\W+", "_", kind) in name}
    unions = {each: name for each, name in listed.items() if matches(_UNION, name)}
    own = [each for each, name in (fitting | unions).items() if matches(row.match, name)]
    unspecific = [each for each, name in fitting.items() if not matches(_OF_A_FAMILY, name)]
    return next(iter(own or (unspecific if row is rows[-1] else ())), None)


def _fits(row: FileRow, file: str) -> bool:
    return row.choose((file,)) is not None


def _of_types(spec: ImageSpec, *types: str) -> list[Network]:
    return [network for network in spec.networks if network.type in types]


def _file(network: Network) -> str:
    return network.path or network.air
