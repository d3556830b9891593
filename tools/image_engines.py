"""Print the tables of docs/civitai-v2-pictures.md: ``python tools/image_engines.py``.

The page holds both tables as they are printed; a test compares them.
"""

from pydantic.alias_generators import to_camel

from imagemill.dialects.civitai_v2.steps.leaves import AIR, LEAVES, OWN, Bounds, Leaf
from imagemill.dialects.civitai_v2.vendors import VENDORS, Vendor

_OPERATIONS = {"createImage": "create", "createVariant": "variant", "editImage": "edit"}


def leaves() -> list[str]:
    """Return the rows of the bodies that nodes run."""
    head = "| engine, ecosystem, model | operations | steps | cfgScale | sides | pictures | own fields |"
    return [head, "|---|---|---|---|---|---|---|", *map(_leaf, LEAVES)]


def vendors() -> list[str]:
    """Return the rows of the models of other vendors."""
    head = "| engine, model or version | operations | fal's path |"
    return [head, "|---|---|---|", *map(_vendor, VENDORS)]


def _leaf(leaf: Leaf) -> str:
    named = leaf.model if leaf.model != AIR else "an AIR"
    title = " ".join(word for word in (f"`{leaf.engine}`", leaf.group, named) if word)
    operations = ", ".join(_OPERATIONS[each] for each in leaf.operations) or "with or without pictures"
    if leaf.most_images:
        operations += f" ({leaf.most_images} pictures at most)"
    own = [OWN[name][1].alias or to_camel(name) if name in OWN else name for name in leaf.own]
    own += [to_camel(leaf.model_from)] if leaf.model_from else []
    own += ["controlNets"] if leaf.controls else []
    own += ["clipSkip"] if leaf.clip_skip else []
    own += [] if leaf.negative else ["no negativePrompt"]
    own += [to_camel(leaf.cfg_field)] if leaf.cfg_field != "cfg_scale" else []
    sides = _bounds(leaf.sides) if leaf.sides else "the picture's"
    steps = _bounds(leaf.steps) if leaf.steps_field else "the model's"
    cells = (title, operations, steps, _bounds(leaf.cfg), sides, f"1 to {leaf.most}", ", ".join(own) or "-")
    return f"| {' | '.join(cells)} |"


def _bounds(bounds: Bounds) -> str:
    least, most, default = bounds
    return f"{least:g} to {most:g} = {default:g}" if default else f"{least:g} to {most:g}"


def _vendor(vendor: Vendor) -> str:
    operations = ", ".join(_OPERATIONS.get(each, each) for each in vendor.endpoints) or "-"
    paths = ", ".join(f"`{path}`" for path in vendor.endpoints.values()) or "fal does not have it: 400"
    if vendor.several:
        paths += f", `{{path}}{vendor.several}` for several pictures"
    return f"| `{vendor.engine}` {vendor.model} | {operations} | {paths} |".replace("`  |", "` |")


if __name__ == "__main__":
    print("\n".join([*leaves(), "", *vendors()]))
