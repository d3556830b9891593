"""Settings of ComfyUI servers: how they are reached and watched."""

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator

from imagemill.domain.nodes import SLOTS, NodeConfig, server_address
from imagemill.settings import Listed, Mapped, SettingsGroup, mask_url


def _previews(value: Any) -> Any:
    """Accept the values of the former switch ``ask_previews``, too."""
    return {"false": "off", "0": "off", "true": "auto", "1": "auto"}.get(str(value).lower(), value)


class ComfySettings(SettingsGroup):
    connect_s: ClassVar[float] = 5.0
    """Seconds to connect to a node."""
    read_s: ClassVar[float] = 30.0
    """Seconds without data in the middle of a response; longer than ComfyUI's own pauses."""
    ping_s: ClassVar[float] = 20.0
    """Seconds between pings of a node's WebSocket; a dead connection is noticed after two."""
    catalogue_s: ClassVar[float] = 300.0
    """Seconds between reads of a node's models and node classes, which seldom change."""
    files_s: ClassVar[float] = 15.0
    """Seconds until a model file that was added to a node, or deleted there, is noticed."""
    silence_s: ClassVar[float] = 2.0
    """Seconds without an event after which the node's queue is read."""
    lost_s: ClassVar[float] = 15.0
    """Seconds without a connection after which a node's prompts count as lost."""
    wedged_s: ClassVar[float] = 20.0
    """Seconds after which a node counts as stuck that executes nothing: with `health_s` it is noticed within
    30 s."""
    doubt_s: ClassVar[float] = 10.0
    """Seconds for which a prompt is looked for, when the response to its submission was lost, before it is
    sent again."""
    cancel_s: ClassVar[float] = 1.5
    """Seconds to wait until a cancelled prompt is gone."""
    waiting_s: ClassVar[float] = 1800.0
    """Seconds that a prompt may wait on the node behind others, which may be a user's own."""
    timeout_floor_s: ClassVar[float] = 60.0
    """Seconds that a render may take at least, unless the job's own limit is shorter."""
    timeout_factor: ClassVar[float] = 8.0
    """Times its node's usual render time that a render may take."""
    load_s: ClassVar[float] = 120.0
    """Seconds added to a render's time limit for loading models."""
    breaker_failures: ClassVar[int] = 3
    """Failures in a row after which a node gets no jobs for a while."""
    breaker_base_s: ClassVar[float] = 5.0
    """Seconds of the first such pause; each next one is twice as long."""
    breaker_cap_s: ClassVar[float] = 300.0
    """Seconds of the longest pause: a repaired node is back within five minutes."""
    keep_history_s: ClassVar[float] = 180.0
    """Seconds that a finished prompt stays in a node's history, for a worker that takes over or cannot store
    its picture."""
    file_bytes: ClassVar[int] = 512 * 2**20
    """Largest file in bytes that is fetched from a node."""

    urls: Listed[str] = Field(
        default=(),
        description="Addresses of ComfyUI servers, comma-separated, such as http://127.0.0.1:8188; empty: "
        "none.",
    )
    token: SecretStr | None = Field(
        default=None,
        description="Bearer token sent to these servers, for a proxy or tunnel in front of them, or all "
        "headers to be sent, as JSON: "
        '{"CF-Access-Client-Id": "...", "CF-Access-Client-Secret": "..."}; none: no token.',
    )
    api_key: SecretStr | None = Field(
        default=None,
        description="Key of a comfy.org account for partner nodes, which cost money; it is sent to the nodes "
        "with prompts that have such nodes. None: no partner nodes.",
    )
    partner_prices: Mapped[Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        default={},
        description='Dollars of one run of a partner node by its class, as JSON: {"FluxProUltraImageNode": '
        "0.06}; * stands for all other classes. A class without a price is refused.",
    )
    partner_budget: float | None = Field(
        default=10.0,
        gt=0,
        description="Most dollars that partner nodes may cost within 24 hours; none: no limit.",
    )
    slots: int = Field(
        default=SLOTS,
        ge=1,
        le=16,
        description="Prompts sent to a node at once: one renders, the others wait there.",
    )
    previews: Annotated[Literal["auto", "latent2rgb", "taesd", "off"], BeforeValidator(_previews)] = Field(
        default="auto",
        description="How a node makes preview pictures while it renders, if a client watches or the render "
        "takes 2 s or longer; off: no previews.",
    )
    resident_models: int = Field(
        default=1, ge=1, le=64, description="Checkpoints a node is assumed to keep loaded."
    )
    health_s: float = Field(default=5.0, gt=0, description="Seconds between health checks of a node.")

    @field_validator("token")
    @classmethod
    def _sendable(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None:
            sent_headers(token)
        return token

    @field_validator("urls")
    @classmethod
    def _addresses(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(map(_address, urls)))


_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]{0,4094}[!-~])?")


def _address(url: str) -> str:
    parts = urlsplit(server_address(url))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{mask_url(url)!r} should be http://host:port or https://host")
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def sent_headers(token: SecretStr) -> dict[str, str]:
    """Return the headers of a token, which may be an object of headers in JSON. Raises `ValueError`."""
    text = token.get_secret_value().strip()
    if not text.startswith("{"):
        return {"Authorization": f"Bearer {text}"}
    try:
        given: Any = json.loads(text)
    except ValueError:
        raise ValueError("is not the JSON of an object of headers") from None
    for name, value in given.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name[:40]!r} is not a header name; one looks like CF-Access-Client-Id")
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"the value of {name} should be 1 to 4096 printable ASCII characters")
    return given


def configured_nodes(settings: ComfySettings) -> Iterator[NodeConfig]:
    """The nodes of the settings, each with its `default_name`."""
    headers = sent_headers(settings.token) if settings.token else {}
    for url in settings.urls:
        yield NodeConfig(name=default_name(url), url=url, slots=settings.slots, headers=headers)


def default_name(url: str) -> str:
    """Return the name of a node that has none: clients see it, so it must not show an internal address.

    It depends on the address only: a drained node stays drained when others are added before it.
    """
    return f"comfyui-{hashlib.sha256(url.encode()).hexdigest()[:6]}"


_LEAST_MS = 10_000
"""From here on a timeout of another program is in milliseconds; in seconds it would be hours."""


def timeout_in_seconds(text: str) -> str:
    """Return the value of ``COMFYUI_TIMEOUT``, which other programs have in milliseconds, in seconds."""
    is_ms = text.strip().isdecimal() and int(text) >= _LEAST_MS
    return str(int(text) / 1000) if is_ms else text
