"""The built-in workflows: one manifest a model family and way of drawing."""

from functools import cache
from importlib.resources import files

from imagemill.graphs.manifest import Workflow, from_text

NAMES = ("sd-text", "sd-image", "sd-inpaint", "flux-text", "flux-image", "flux-inpaint")


@cache
def builtin(name: str) -> Workflow:
    """Raise `KeyError` for a name that is none of `NAMES`."""
    if name not in NAMES:
        raise KeyError(name)
    return from_text(files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))
