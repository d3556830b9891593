"""The defaults and limits of a model's family, as the inputs of recipes need them."""

from collections.abc import Iterator, Sequence
from typing import Any

from imagemill.domain import images
from imagemill.domain.air import Resource
from imagemill.graphs.families.rows import AcceleratorRow, Variant, matches, normalise_name
from imagemill.graphs.families.table import Families, FamilyMatch


def row_of(families: Families, resource: Resource) -> FamilyMatch | None:
    """Return the row of a checkpoint's family and variant; None for a family that the table does not have."""
    return families.find(resource.family, resource.path, resource.title, variant=resource.variant)


def accelerator_of(variant: Variant, loras: Sequence[Resource]) -> AcceleratorRow | None:
    """Return the defaults with a LoRA that makes fewer steps do; None if there is none among them."""
    names = [normalise_name(name) for each in loras for name in (each.path, each.title) if name]
    fitting = (row for row in variant.accelerators for name in names if matches(row.match, name))
    return next(fitting, None)


def sampling_defaults(variant: Variant, loras: Sequence[Resource]) -> dict[str, Any]:
    """Return steps, cfg_scale, sampler and scheduler of a request that names none of them."""
    fast = accelerator_of(variant, loras)
    sampler = (fast.sampler if fast is not None else "") or variant.sampler
    scheduler = (fast.scheduler if fast is not None else "") or variant.scheduler
    found: dict[str, Any] = {
        "steps": fast.steps if fast is not None else variant.steps,
        "cfg_scale": fast.cfg if fast is not None else variant.default_cfg,
    }
    if (sampler, scheduler) != (images.DEFAULT.sampler, images.DEFAULT.scheduler):
        found |= {"sampler": sampler, "scheduler": scheduler}
    return found


def scheduler_beside(variant: Variant, sampler: str) -> str:
    """Return the scheduler of a request that names a sampler only; empty for the sampler's usual one.

    The usual one of most samplers is ``normal``, which spaces the steps for Stable Diffusion 1, 2 and XL.
    Newer models are made for their own.
    """
    named = images.find(sampler)
    if variant.is_discrete or (named is not None and named.scheduler != "normal"):
        return ""
    return variant.scheduler


def ineffective(variant: Variant, title: str, given: Any) -> Iterator[tuple[str, str]]:
    """(field, error) of each value that would have no effect on a model of this variant.

    ``given``: a complete input with ``negative_prompt``, ``cfg_scale``, ``clip_skip`` and ``guidance``.
    """
    if given.negative_prompt.strip():
        if variant.negative in ("none", "zero"):
            yield "negative_prompt", f"has no effect: {title} is sampled without one; leave it out"
        elif variant.negative == "zero_at_cfg_1" and given.cfg_scale == 1:
            yield (
                "negative_prompt",
                f"has no effect: {title} is sampled with a CFG scale of 1; leave it out, or raise cfg_scale",
            )
    if given.clip_skip > 1 and not variant.clip_skip:
        yield "clip_skip", f"has no effect on {title}; leave it out"
    if given.guidance is not None and variant.guidance is None:
        yield "guidance", f"has no effect on {title}, which has no distilled guidance; use `cfg_scale`"
