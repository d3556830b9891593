"""Settings of ComfyUI servers: addresses, timeouts, health checks."""

from collections.abc import Iterator
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from imagemill.domain.nodes import SLOTS, NodeConfig


class ComfySettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    urls: tuple[str, ...] = Field(
        default=(),
        description="Addresses of ComfyUI servers, such as http://127.0.0.1:8188, comma-separated.",
    )
    token: SecretStr | None = Field(
        default=None,
        description="Bearer token sent to these servers, for those behind a proxy that asks for it.",
    )
    slots: int = Field(
        default=SLOTS,
        ge=1,
        le=16,
        description="Prompts in flight on a node: one renders, the others wait there.",
    )
    previews: Literal["auto", "latent2rgb", "taesd"] = Field(
        default="auto", description="How a node makes preview pictures when somebody asks for them."
    )
    ask_previews: bool = Field(default=True, description="Ask nodes for preview pictures while they render.")
    resident_models: int = Field(
        default=1, ge=1, le=64, description="Checkpoints a node is believed to keep loaded."
    )
    connect_s: float = Field(default=5.0, gt=0, description="Longest time to connect; seconds.")
    read_s: float = Field(
        default=30.0, gt=0, description="Longest silence of a node in mid-answer; above its pauses; seconds."
    )
    ping_s: float = Field(
        default=20.0,
        gt=0,
        description="How often a node's socket is tested; a dead one is noticed after two of these; seconds.",
    )
    health_s: float = Field(default=5.0, gt=0, description="How often a node is asked how it is; seconds.")
    catalogue_s: float = Field(
        default=300.0, gt=0, description="How often a node's models and classes are read anew; seconds."
    )
    silence_s: float = Field(
        default=2.0, gt=0, description="After so long without an event the node's queue is read; seconds."
    )
    lost_s: float = Field(
        default=15.0, gt=0, description="A node not reached for so long has lost its prompts; seconds."
    )
    wedged_s: float = Field(
        default=30.0,
        gt=0,
        description="A node with prompts waiting, none running and no event for so long is wedged; seconds.",
    )
    doubt_s: float = Field(
        default=10.0,
        ge=0,
        description="How long a prompt whose answer was lost is looked for before it is sent again; seconds.",
    )
    cancel_s: float = Field(
        default=1.5, gt=0, description="How long a stopped prompt is waited for until it is gone; seconds."
    )
    waiting_s: float = Field(
        default=1800.0, gt=0, description="Longest wait on the node behind other prompts; seconds."
    )
    timeout_floor_s: float = Field(
        default=60.0,
        gt=0,
        description="No render is given less time than this, or the job's own limit; seconds.",
    )
    timeout_factor: float = Field(
        default=8.0, ge=1, description="A render may take so many times what its node needed before."
    )
    load_s: float = Field(
        default=120.0, ge=0, description="Time a render is granted beyond that for loading models; seconds."
    )
    breaker_failures: int = Field(
        default=3, ge=1, description="Failures of a node in a row after which it gets no job for a while."
    )
    breaker_base_s: float = Field(
        default=5.0, gt=0, description="How long that is at first; doubles each time; seconds."
    )
    breaker_cap_s: float = Field(default=300.0, gt=0, description="How long it is at most; seconds.")
    keep_history_s: float = Field(
        default=180.0,
        ge=0,
        description="How long a collected prompt stays in a node's history, for a worker that takes over or "
        "cannot store its picture; seconds.",
    )
    file_bytes: int = Field(
        default=512 * 2**20, ge=1, description="Largest file that is fetched from a node; bytes."
    )

    @field_validator("urls")
    @classmethod
    def _addresses(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(map(_address, urls)))


_ROUTES = ("/prompt", "/ws")
"""Ends of addresses that people copy from the settings of other programs."""


def _address(url: str) -> str:
    """The server's address, also from the address of a route or a WebSocket."""
    parts = urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    if scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} should be http://host:port or https://host")
    path = parts.path.rstrip("/")
    for route in _ROUTES:
        path = path.removesuffix(route)
    return f"{scheme}://{parts.netloc}{path}"


def configured_nodes(settings: ComfySettings) -> Iterator[NodeConfig]:
    """The nodes of the settings, named by host and port: ``comfy-127.0.0.1-8188``."""
    headers = {"Authorization": f"Bearer {settings.token.get_secret_value()}"} if settings.token else {}
    for url in settings.urls:
        parts = urlsplit(url)
        host = (parts.hostname or "").replace(":", "-")
        place = f"{host}-{parts.port}" if parts.port else host
        path = parts.path.strip("/").replace("/", "-")
        name = f"comfy-{place}-{path}" if path else f"comfy-{place}"
        yield NodeConfig(name=name, url=url, slots=settings.slots, headers=headers)
