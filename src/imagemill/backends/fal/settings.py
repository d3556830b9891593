"""Settings of fal.ai as a backend: what is sent there, and what it may cost."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from imagemill.settings import JsonSetting, Listed, Mapped, SettingsGroup

_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_.-]+){1,5}")
MAX_PATH = 80
"""Most characters of a path: with a request's id it fits the reference of a job."""


def _path(value: str) -> str:
    if len(value) > MAX_PATH or not _PATH.fullmatch(value):
        raise ValueError(f"should be owner/alias or owner/alias/path, {MAX_PATH} characters at most")
    return value


FalPath = Annotated[str, AfterValidator(_path)]


def is_path(value: str) -> bool:
    return len(value) <= MAX_PATH and _PATH.fullmatch(value) is not None


class FalModel(JsonSetting):
    """fal's model for a checkpoint or a family."""

    path: FalPath
    image_path: FalPath | None = None
    """Path for image-to-image; without it such jobs are refused."""
    negative_prompt: bool = False
    """Whether the model takes a negative prompt; Flux does not."""
    extra: Mapping[str, Any] = Field(default={})
    """Further fields of the request, sent as they are."""


class FalPrice(JsonSetting):
    """Dollars. A picture's megapixels are rounded up to whole ones."""

    per_megapixel: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    per_image: float = Field(default=0.0, ge=0, allow_inf_nan=False)


BUILT_IN_MODELS = {
    "flux1": FalModel(path="fal-ai/flux/dev", image_path="fal-ai/flux/dev/image-to-image"),
}
BUILT_IN_PRICES = {
    "fal-ai/flux/dev": FalPrice(per_megapixel=0.025),
    "fal-ai/flux/dev/image-to-image": FalPrice(per_megapixel=0.03),
}
"""Prices from fal's pages; the bill decides."""


def _model(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


class FalSettings(SettingsGroup):
    smallest_side: ClassVar[int] = 256
    """Least width and height in pixels that is requested from fal."""
    largest_side: ClassVar[int] = 2048
    """Most pixels of width and height that are requested from fal."""
    side_step: ClassVar[int] = 16
    """Pixels that width and height are a multiple of; else fal changes them."""
    images: ClassVar[int] = 4
    """Most pictures of one request."""
    poll_s: ClassVar[float] = 0.5
    """Seconds between two reads of a running request's status."""
    request_s: ClassVar[float] = 30.0
    """Seconds that one call of fal's API may take."""
    away_s: ClassVar[float] = 60.0
    """Seconds that fal may be unreachable while a request is followed; then another attempt collects it."""
    shut_s: ClassVar[float] = 60.0
    """Seconds for which no job goes to fal after it refused the key."""
    refused_s: ClassVar[float] = 10.0
    """Seconds for which no job goes to fal after it refused a connection."""
    check_s: ClassVar[float] = 15.0
    """Seconds between two checks of a gateway's address."""
    picture_bytes: ClassVar[int] = 64_000_000
    """Largest file in bytes that is fetched from fal."""

    key: SecretStr | None = Field(
        default=None, description="Key of the fal.ai account; none: fal is not used."
    )
    slots: int = Field(
        default=4, ge=1, le=256, description="Requests running at fal, of all workers together."
    )
    per_minute: int | None = Field(
        default=60,
        ge=1,
        description="Requests started per minute, of all workers together; none: no limit.",
    )
    spill_after_s: float = Field(
        default=30.0,
        ge=0,
        description="Seconds that a job waits for local nodes before it may overflow to fal; 0: fal takes "
        "jobs like any node.",
    )
    cost_per_job: float | None = Field(
        default=0.25,
        gt=0,
        description="Most dollars that all requests of one job may cost together; none: no limit.",
    )
    cost_per_day: float | None = Field(
        default=10.0, gt=0, description="Most dollars for requests within 24 hours; none: no limit."
    )
    prices: Mapped[FalPrice] = Field(
        default={},
        description='Prices in dollars by path, as JSON: {"fal-ai/flux/dev": {"per_megapixel": 0.025}}, or '
        "per_image; * stands for all other paths. Prices of Flux dev are built in.",
    )
    models: Mapped[Annotated[FalModel, BeforeValidator(_model)]] = Field(
        default={},
        description="fal's model for a family or for a checkpoint's AIR, as JSON: {\"sdxl\": "
        '{"path": "fal-ai/fast-sdxl", "negative_prompt": true}}. Flux dev is built in for flux1.',
    )
    private_owners: Listed[str] = Field(
        default=(),
        description="Owners whose jobs are never sent to fal, comma-separated; * means all owners.",
    )
    safety_checker: bool = Field(
        default=True, description="Let fal check pictures, and block those it flags."
    )
    priority: Literal["normal", "low"] = Field(
        default="normal", description="Priority of requests in fal's own queue."
    )
    host: str | None = Field(
        default=None,
        description="Host, and port, of a gateway of your own to fal's queue; none: queue.fal.run.",
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file of the authority that signed the gateway's certificate; none: the system's.",
    )

    @property
    def known_models(self) -> Mapping[str, FalModel]:
        return BUILT_IN_MODELS | dict(self.models)

    def price_of(self, path: str) -> FalPrice | None:
        """The price of a path; None means that it is not known."""
        return self.prices.get(path) or BUILT_IN_PRICES.get(path) or self.prices.get("*")
