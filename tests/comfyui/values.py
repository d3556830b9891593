"""What runs along the links of a graph."""

from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image

from tests.comfyui.pictures import Picture

Images = list[Picture]
Masks = list[Image.Image]  # mode L, white where masked
FEW_CHANNELS, MANY_CHANNELS = 4, 16  # of latents: SD1 and SDXL; SD3 and Flux


class NodeFailed(Exception):
    """A node's own error, as the server names it: the full name of the exception's type."""

    def __init__(self, type_: str, message: str) -> None:
        super().__init__(message)
        self.type = type_


class Interrupted(Exception):
    pass


@dataclass(frozen=True)
class Model:
    """A diffusion model, or what is made of one; `changes` are LoRAs and the like."""

    name: str
    changes: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        return (
            MANY_CHANNELS
            if any(family in self.name.lower() for family in ("flux", "sd3", "z_image"))
            else FEW_CHANNELS
        )

    def changed(self, *what: Any) -> "Model":
        return replace(self, changes=(*self.changes, repr(what)))


@dataclass(frozen=True)
class Vae:
    name: str

    @property
    def channels(self) -> int | None:
        """None fits all: the name tells nothing sure."""
        lower = self.name.lower()
        if "flux" in lower or "sd3" in lower or lower.startswith("ae."):
            return MANY_CHANNELS
        return FEW_CHANNELS if any(family in lower for family in ("sd1", "sd_", "sdxl")) else None


@dataclass(frozen=True)
class Conditioning:
    """All that was said about the picture, as one text."""

    said: str

    def with_more(self, *what: Any) -> "Conditioning":
        return Conditioning(f"{self.said}|{what!r}")


@dataclass(frozen=True)
class Latent:
    """Width and height are of the decoded picture; `pictures` is empty before it is encoded or sampled."""

    width: int
    height: int
    batch: int
    channels: int
    pictures: tuple[Picture, ...] = ()
    mask: Image.Image | None = field(default=None, compare=False)

    @property
    def megapixels(self) -> float:
        return self.width * self.height * self.batch / 1e6


@dataclass(frozen=True)
class Guider:
    model: Model
    said: str


@dataclass(frozen=True)
class Sigmas:
    steps: int
    denoise: float
    scheduler: str
