"""Settings: read once, at start, from arguments, environment, ``.env`` and a TOML file, in this order.

Every setting has the environment name ``IMAGEMILL_`` + its name in capitals, nested ones with two
underscores (``IMAGEMILL_SIMULATOR__STEP_MS``); a few have a second, unprefixed name (see ``ALIASES``).
"""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from imagemill.backends.simulator.settings import SimulatorSettings

ALIASES = {
    "port": "PORT",
    "scheduler_poll_ms": "SCHEDULER_POLL_MS",
    "database_url": "DATABASE_URL",
    "log_format": "LOG_FORMAT",
}
"""Unprefixed names that are read too, so that an existing ``.env`` works."""


def _also(name: str) -> AliasChoices:
    return AliasChoices(f"IMAGEMILL_{name.upper()}", ALIASES[name], name)


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class JobSettings(_Group):
    life_s: float = Field(86_400, gt=0, description="A job not started by then expires; seconds.")
    timeout_s: float = Field(600, gt=0, description="Longest render of one attempt, unless the job says less.")
    max_failures: int = Field(5, ge=1, le=100, description="Tries of a job before it fails for good.")
    retry_base_s: float = Field(1.0, ge=0, description="Delay before the first retry; doubles each time.")
    retry_cap_s: float = Field(60.0, ge=0, description="Longest delay between two tries.")
    avoid_node_s: float = Field(60.0, ge=0, description="How long a failed job keeps off the node it failed on.")
    lease_s: float = Field(30.0, ge=1, description="A worker silent for so long has lost its job.")
    heartbeat_s: float = Field(1.0, gt=0, description="Progress and cancel wishes are exchanged this often.")
    affinity_bound_s: float = Field(
        15.0, ge=0, description="How far fair order may be left to reuse a loaded model, in seconds."
    )
    retention_days: float = Field(30.0, gt=0, description="Finished jobs and their files are deleted after.")


class LimitSettings(_Group):
    body_bytes: int = Field(4 * 2**20, ge=1024, description="Largest request body; larger ones get a 413.")
    prompt_chars: int = Field(10_000, ge=1, description="Longest prompt or negative prompt.")
    jobs_per_request: int = Field(500, ge=1, description="Most jobs one request may create.")
    image_pixels: int = Field(64 * 2**20, ge=1, description="Largest picture that is decoded.")
    wait_s: float = Field(95.0, gt=0, le=600, description="Longest time a request with wait is held.")
    streams: int = Field(1000, ge=1, description="Most event streams and waiting requests at once.")


class CallbackSettings(_Group):
    allow_networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        (),
        description="Private networks callbacks may reach, e.g. '[\"127.0.0.0/8\"]'; by default public only.",
    )
    timeout_s: float = Field(10.0, gt=0, description="Longest time one delivery may take.")
    tries: int = Field(12, ge=1, description="Deliveries are tried this often, over about a day.")
    retry_base_s: float = Field(5.0, gt=0, description="Delay before the second try; doubles each time.")
    retry_cap_s: float = Field(4 * 3600.0, gt=0, description="Longest delay between two tries.")


class ResourceSettings(_Group):
    strict: bool = Field(True, description="Additional networks must be registered, like checkpoints.")
    seed: bool = Field(True, description="Fill an empty registry with the models that clients' samples use.")


class CivitaiSettings(_Group):
    result_shape: Literal["object", "array"] = Field(
        "object", description="v1 'result': an object as the published clients read it, or today's array."
    )


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="IMAGEMILL_",
        env_nested_delimiter="__",
        env_file=".env",
        toml_file="imagemill.toml",
        frozen=True,
        extra="ignore",
        populate_by_name=True,
    )

    host: str = Field("127.0.0.1", description="Address to listen on; loopback only until keys exist.")
    port: int = Field(8700, ge=0, le=65535, validation_alias=_also("port"), description="Port; 0: any free.")
    public_url: str | None = Field(None, description="How clients reach the server, when not by its address.")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        ("localhost", "127.0.0.1", "[::1]", "*.localhost"),
        description="Host headers that are answered, comma-separated (guards against DNS rebinding).",
    )
    data_dir: Path = Field(Path("imagemill-data"), description="Database, blobs, secrets.")
    database_url: str | None = Field(
        None,
        validation_alias=_also("database_url"),
        description="postgresql://... or sqlite:///path; default: a file in data_dir.",
    )
    sqlite_full_sync: bool = Field(
        False, description="Survive power loss, not only a crash, at the price of a disk flush a commit."
    )
    scheduler_poll_ms: int = Field(
        250,
        ge=10,
        validation_alias=_also("scheduler_poll_ms"),
        description="How often work and events are looked for when nobody tells of them.",
    )
    sweep_s: float = Field(1.0, gt=0, description="How often lost, expired and due jobs are looked for.")
    shutdown_grace_s: float = Field(30.0, ge=0, description="How long running jobs may finish at a stop.")
    url_life_s: float = Field(3600, gt=0, description="How long a picture's URL is valid.")
    owner: str = Field("local", min_length=1, max_length=64, description="Who owns all jobs on this machine.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")
    log_format: Literal["text", "json"] = Field(
        "text", validation_alias=_also("log_format"), description="Log lines for people or for machines."
    )
    job: JobSettings = Field(JobSettings(), description="The life of a job.")
    limit: LimitSettings = Field(LimitSettings(), description="Sizes that are refused.")
    callback: CallbackSettings = Field(CallbackSettings(), description="Delivery of callbacks.")
    resources: ResourceSettings = Field(ResourceSettings(), description="The model registry.")
    civitai: CivitaiSettings = Field(CivitaiSettings(), description="Civitai's dialects.")
    simulator: SimulatorSettings = Field(SimulatorSettings(), description="The simulated nodes.")

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir / 'imagemill.db'}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, dotenv_settings, TomlConfigSettingsSource(settings_cls)


def complaints(error: ValidationError) -> list[str]:
    """One sentence a wrong setting, with the name the user set it by."""
    lines: list[str] = []
    for fault in error.errors():
        name = "__".join(str(part) for part in fault["loc"]).upper()
        shown = name if name.startswith("IMAGEMILL_") or name in ALIASES.values() else f"IMAGEMILL_{name}"
        lines.append(f"{shown}: {fault['msg']} (it is {fault['input']!r})")
    return lines
