"""Write docs/model-families.md from the table of model families.

    python tools/families_page.py > docs/model-families.md

A test compares the file with what this program prints.
"""

from collections.abc import Iterable, Iterator

from imagemill.graphs.families.rows import FileRow, Variant
from imagemill.graphs.families.table import Family, built_in

HEAD = """\
# Model families

<!-- Written by `python tools/families_page.py`; change src/imagemill/graphs/families/*.toml instead. -->

A family is a model architecture: its text encoder, VAE, latent, sampler and defaults. `textToImage` and
`video` build the graph of a ComfyUI server from the row of the model's family, with core nodes only. The
family is found by the model's AIR, the registry, the metadata of the file, its folder and its name, in this
order; `family` and `variant` of a request state it where nothing tells. [Models](models.md) explains how to
correct it.

A request that names no steps, CFG scale, sampler or size gets those of the variant: a turbo model gets few
steps and a CFG scale of 1. A LoRA for fewer steps (Lightning, Hyper, LCM, turbo) changes them as well. What
a family cannot do is refused by name: a negative prompt at a CFG scale of 1, a ControlNet without a core
node, a mask, reference pictures.

A file in ComfyUI's folder `checkpoints` brings its text encoders and VAE. A file in `diffusion_models`
needs the text encoders (`text_encoders`) and the VAE (`vae`) of its row; a node without them does not get
the job, and the refusal names the file and the folder. The names below are those under which the files are
published; similar names are found, too.

"""
OWN = """\
## A row of your own

Rows in `families.toml` in the data folder come first, after the next start; one with a known name replaces
it. A row may extend another one, or a variant, and change what differs:

```toml
[my-mix]
title = "My mix"
ecosystems = ["mymix"]        # AIRs: urn:air:mymix:checkpoint:file:...
match = ["*my*mix*"]          # names of files, in lower case, with _ for spaces, dots and hyphens
extends = "zimage.turbo"
steps = 6
patches = [{ node = "ModelSamplingAuraFlow", shift = 2.5 }]
```

The files in `src/imagemill/graphs/families` are the examples for every key. Inputs of nodes that begin with
`$` are filled in: `$width`, `$steps`, `$model`, `$positive` and others. A file that cannot be read stops a
server with a sentence that names the row and the key. In a fleet every process needs the same file.
"""


def page() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for title, kind in (("Pictures", "image"), ("Videos", "video")):
        parts.append(f"## {title}\n\n")
        families = sorted(
            (each for each in built_in() if each.kind == kind), key=lambda each: each.title.lower()
        )
        parts += [section(family) for family in families]
    return "".join([*parts, OWN])


def section(family: Family) -> str:
    words = ", ".join(f"`{each}`" for each in dict.fromkeys((family.name, *family.ecosystems)))
    rows = [
        ("variant", "steps, CFG, sampler, size", "model", "licence", "besides a prompt"),
        ("---",) * 5,
        *(variant_row(family, name, variant) for name, variant in family.variants.items()),
    ]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    beside = "\n".join(f"- {line}" for line in files(family.variants.values()))
    parts = [f"### {family.title}", f"Family or ecosystem: {words}", table, beside]
    return "".join(f"{part}\n\n" for part in parts if part)


def variant_row(family: Family, name: str, variant: Variant) -> tuple[str, ...]:
    note = " (newer than ComfyUI 0.33)" if variant.newer else ""
    note += " (default)" if name == family.default and len(family.variants) > 1 else ""
    size = f"{variant.size.width} x {variant.size.height}"
    if variant.video is not None:
        size += f", {variant.video.length} frames at {variant.video.fps:g}"
    defaults = f"{variant.steps}, {variant.default_cfg:g}, {variant.sampler}/{variant.scheduler}, {size}"
    folder = "checkpoints" if variant.loader == "checkpoint" else "diffusion_models"
    model = f"{folder}: {', '.join(f'`{each}`' for each in variant.files)}"
    if variant.second_model is not None:
        model += f" and `{variant.second_model.name}`"
    allowed = {True: "", False: " **non-commercial**", None: ""}[variant.commercial]
    license_ = variant.license if "non-commercial" in variant.license else f"{variant.license}{allowed}"
    return f"{name}{note}", defaults, model, license_, ", ".join(abilities(variant)) or "-"


def abilities(variant: Variant) -> Iterator[str]:
    row = variant.references
    if variant.negative == "text":
        yield "negative prompt"
    elif variant.negative == "zero_at_cfg_1":
        yield "negative prompt above CFG 1"
    if variant.needs_mask:
        yield "fills masks only"
    elif variant.source:
        yield (
            "source picture and mask"
            if variant.mask
            else "first frame"
            if variant.video
            else "source picture"
        )
    if row is not None:
        most = "1 reference picture" if row.max == 1 else f"{row.max} reference pictures"
        yield f"{most} (required)" if row.required else most
    if variant.controls:
        yield "ControlNet"
    if variant.guidance is not None:
        yield "guidance"
    if variant.clip_skip:
        yield "CLIP skip"


def files(variants: Iterable[Variant]) -> Iterator[str]:
    """The text encoders and VAEs of all variants, a line each."""
    kinds: dict[str, dict[str, None]] = {"text_encoders": {}, "vae": {}}
    for variant in variants:
        encoders: tuple[FileRow, ...] = variant.text_encoder.files if variant.text_encoder else ()
        kinds["text_encoders"] |= dict.fromkeys(each.name for each in encoders)
        if variant.vae is not None and variant.vae.name != "pixel_space":
            kinds["vae"][variant.vae.name] = None
    for folder, names in kinds.items():
        if names:
            yield f"{folder}: {', '.join(f'`{name}`' for name in names)}"


if __name__ == "__main__":
    print(page(), end="")
