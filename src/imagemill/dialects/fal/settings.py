"""Settings of fal's dialect (`imagemill.dialects.fal`): its apps and its hosts."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import NotFound
from imagemill.settings import JsonSetting, Listed, Mapped, SettingsGroup

QUEUE = "/fal"
"""The path of fal's queue, which fal serves at queue.fal.run."""
RUN = "/fal-run"
"""The path of direct calls, which fal serves at fal.run; they are answered when the pictures are made."""

SIZES = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
"""The widths and heights of fal's named sizes."""
SizeName = Literal["square_hd", "square", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9"]

_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_APP = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)+")
_NO_PATHS = frozenset({"requests", "stream"})
"""Parts that an app's name must not have, since routes use them."""


def _host(name: str) -> str:
    if not _HOST.fullmatch(name.lower()):
        raise ValueError(f"{name!r} should be a host's name alone, such as fal.example, without a port")
    return name.lower()


class AppSettings(JsonSetting):
    """An app: a checkpoint and the defaults of requests."""

    model: str = Field(min_length=1)
    """The checkpoint's AIR; its ecosystem is the model family."""
    steps: int = Field(default=28, ge=1, le=50)
    guidance_scale: float = Field(default=3.5, ge=0, le=20, allow_inf_nan=False)
    image_size: SizeName = "landscape_4_3"
    needs_image: bool = False
    """Whether it is image-to-image, so that ``image_url`` is required."""
    strength: float = Field(default=0.95, ge=0, le=1, allow_inf_nan=False)


_DEV = "urn:air:flux1:checkpoint:civitai:618692@691639"
_SCHNELL = "urn:air:flux1:checkpoint:civitai:618692@699279"
_SDXL = "urn:air:sdxl:checkpoint:civitai:101055@128078"

BUILTIN = {
    "fal-ai/flux/dev": AppSettings(model=_DEV),
    "fal-ai/flux/dev/image-to-image": AppSettings(model=_DEV, steps=40, needs_image=True),
    "fal-ai/flux/schnell": AppSettings(model=_SCHNELL, steps=4),
    "fal-ai/fast-sdxl": AppSettings(model=_SDXL, steps=25, guidance_scale=7.5, image_size="square_hd"),
}
"""The built-in apps."""


class FalApiSettings(SettingsGroup):
    hosts: Listed[Annotated[str, AfterValidator(_host)]] = Field(
        default=(),
        description="Host names that serve only fal's API, comma-separated, such as "
        "fal.example,queue.fal.example: the queue at those that begin with queue., direct "
        "calls at others.",
    )
    apps: Mapped[AppSettings] = Field(
        default={},
        description="More apps, or replacements of built-in ones, as JSON: "
        '{"me/anime": {"model": "urn:air:...", "steps": 28, "guidance_scale": 7}}.',
    )
    run_s: float = Field(
        default=600.0,
        gt=0,
        le=3600,
        description="Seconds after which a direct call without a result gets a 504.",
    )
    webhook_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="Secret that the signing key of fal's webhooks is derived from, the same on all "
        "machines; none: one generated in data_dir.",
    )

    @model_validator(mode="after")
    def _named(self) -> Self:
        for name in self.apps:
            if not _APP.fullmatch(name) or not _NO_PATHS.isdisjoint(name.split("/")):
                raise ValueError(
                    f"apps: {name!r} should be owner/alias or owner/alias/path in lower case, with no part "
                    f"called {' or '.join(sorted(_NO_PATHS))}"
                )
        return self

    def check_hosts(self, host: str, public_url: str | None) -> None:
        """Raise `ValueError` when one of the hosts is the server's own name, which its other APIs need."""
        own = {host.lower(), urlsplit(public_url or "").hostname}
        if shadowed := own.intersection(self.hosts):
            raise ValueError(
                f"IMAGEMILL_FAL_API__HOSTS: nothing but fal's API would be served at {shadowed.pop()!r}, "
                "which IMAGEMILL_HOST or IMAGEMILL_PUBLIC_URL names; give fal a host of its own"
            )

    @property
    def offered(self) -> dict[str, AppSettings]:
        """Return all apps by name."""
        return {**BUILTIN, **self.apps}

    @property
    def prefixes(self) -> dict[str, str]:
        """Return the path prefix of requests by host."""
        return {host: QUEUE if host.startswith("queue.") else RUN for host in self.hosts}


@dataclass(frozen=True, slots=True)
class App:
    name: str
    """``owner/alias``, as in the URLs of its requests."""
    path: str
    """The rest of the URL of a submission; may be empty."""
    settings: AppSettings

    @property
    def whole(self) -> str:
        return f"{self.name}/{self.path}" if self.path else self.name


class Apps:
    def __init__(self, offered: Mapping[str, AppSettings]) -> None:
        self._apps = {name: _app(name, settings) for name, settings in offered.items()}

    def find(self, owner: str, alias: str, path: str = "") -> App:
        """Return an app. Raises `NotFound` with the names of all apps."""
        name = "/".join([owner, alias, *filter(None, [path.strip("/")])]).lower()
        if (app := self._apps.get(name)) is None:
            raise NotFound(f"there is no app {name[:200]!r} here; there are {', '.join(sorted(self._apps))}")
        return app


def _app(name: str, settings: AppSettings) -> App:
    owner, alias, *path = name.split("/")
    return App(f"{owner}/{alias}", "/".join(path), settings)
