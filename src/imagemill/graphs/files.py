"""Find the inputs that name model files, the kind of each, and a node's own spelling of a file."""

import re
from functools import lru_cache

MODEL_FILES = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".onnx", ".pkl")

GENERIC_NAMES = frozenset(
    {"model", "diffusion_pytorch_model", "pytorch_model", "pytorch_lora_weights", "adapter_model"}
)
"""Base names that many models share: such a name alone does not identify a model."""

_BY_CLASS = {
    ("UpscaleModelLoader", "model_name"): "upscaler",
    ("HypernetworkLoader", "hypernetwork_name"): "hypernet",
}

_BY_INPUT: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), kind)
    for pattern, kind in (
        (r"(.*_)?(ckpt|checkpoint|unet)(_name)?(_?\d+)?", "checkpoint"),
        (r"(.*_)?lora(_name)?(_?\d+)?", "lora"),
        (r"(.*_)?lora_\d+_name", "lora"),
        (r"(.*_)?vae(_name)?", "vae"),
        (r"control_?net(_name)?(_?\d+)?|control_net_name", "controlnet"),
        (r"hypernetwork(_name)?", "hypernet"),
        (r"upscale_model(_name)?|upscaler(_name)?", "upscaler"),
        (r"(text_encoder|clip|t5)_name\d*|text_encoder\d*", "text_encoder"),
    )
)


_LONGEST_NAME = 200
"""Characters of an input's name; longer ones name no file, and are not kept."""


def file_kind(class_type: str, input_name: str) -> str | None:
    """The kind of model file an input holds, judged by its name; None if it holds none."""
    known = _BY_CLASS.get((class_type, input_name))
    if known is not None:
        return known
    return _kind_of_input(input_name) if len(input_name) <= _LONGEST_NAME else None


@lru_cache(4096)
def _kind_of_input(name: str) -> str | None:
    return next((kind for pattern, kind in _BY_INPUT if pattern.fullmatch(name)), None)


def names_a_file(input_name: str, value: str) -> bool:
    """Whether an input without a known kind names a model file, by the value's extension and its own name."""
    is_named_so = input_name.rsplit(".", 1)[-1].endswith(("name", "model", "file"))
    return is_named_so and value.lower().endswith(MODEL_FILES) and "://" not in value


class Listing:
    """A node's list of files, searchable by other spellings of their names."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._exact = frozenset(names)
        self._by_normalised: dict[str, str] = {}
        self._by_base: dict[str, list[str]] = {}
        for name in names:
            normalised = _normalise(name)
            self._by_normalised.setdefault(normalised, name)
            self._by_base.setdefault(normalised.rsplit("/", 1)[-1], []).append(name)

    def find(self, wanted: str, *, by_base_name: bool = True) -> str | None:
        """The exact name, else one that differs in case or slashes, else the only file with that base
        name."""
        if wanted in self._exact:
            return wanted
        normalised = _normalise(wanted)
        if normalised in self._by_normalised:
            return self._by_normalised[normalised]
        found = self.namesakes(wanted) if by_base_name else ()
        return found[0] if len(found) == 1 else None

    def namesakes(self, wanted: str) -> tuple[str, ...]:
        """The files with the same base name, in any folder; none for a name that many models share."""
        base = _normalise(wanted).rsplit("/", 1)[-1]
        return () if base.rsplit(".", 1)[0] in GENERIC_NAMES else tuple(self._by_base.get(base, ()))


def _normalise(name: str) -> str:
    return name.replace("\\", "/").strip("/").casefold()
