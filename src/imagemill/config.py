"""Settings: read once, at start, from arguments, environment, ``.env`` and a TOML file, in this order.

Every setting has the environment name ``IMAGEMILL_`` + its name in capitals, nested ones with two
underscores (``IMAGEMILL_SIMULATOR__STEP_MS``); a few have a second one (see `imagemill.config`).
"""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from imagemill.backends.comfyui.settings import ComfySettings
from imagemill.backends.fal.settings import FalSettings
from imagemill.backends.simulator.settings import SimulatorSettings
from imagemill.blobs.settings import BlobSettings, S3Settings
from imagemill.dialects.fal.settings import FalApiSettings
from imagemill.observability.settings import OtelSettings
from imagemill.products.characters.settings import CharacterSettings, LlmSettings
from imagemill.products.library.settings import LibrarySettings
from imagemill.settings import (
    AuthSettings,
    CallbackSettings,
    CelerySettings,
    CivitaiSettings,
    CorsSettings,
    CreditSettings,
    JobSettings,
    LimitSettings,
    MailSettings,
    MetricsSettings,
    QuotaSettings,
    ResourceSettings,
    SafetySettings,
    SocketSettings,
    WebhookSettings,
)

ALIASES = {
    "PORT": "IMAGEMILL_PORT",
    "SCHEDULER_POLL_MS": "IMAGEMILL_SCHEDULER_POLL_MS",
    "DATABASE_URL": "IMAGEMILL_DATABASE_URL",
    "LOG_FORMAT": "IMAGEMILL_LOG_FORMAT",
    # Who names an R2 bucket means R2, even where other variables of AWS are set too.
    "R2_BUCKET_NAME": "IMAGEMILL_S3__BUCKET",
    "R2_BUCKET": "IMAGEMILL_S3__BUCKET",
    "R2_ENDPOINT_URL": "IMAGEMILL_S3__ENDPOINT",
    "R2_ENDPOINT": "IMAGEMILL_S3__ENDPOINT",
    "R2_ACCOUNT_ID": "IMAGEMILL_S3__R2_ACCOUNT_ID",
    "R2_ACCESS_KEY_ID": "IMAGEMILL_S3__ACCESS_KEY_ID",
    "R2_SECRET_ACCESS_KEY": "IMAGEMILL_S3__SECRET_ACCESS_KEY",
    "S3_BUCKET_NAME": "IMAGEMILL_S3__BUCKET",
    "AWS_ENDPOINT_URL": "IMAGEMILL_S3__ENDPOINT",
    "AWS_REGION_NAME": "IMAGEMILL_S3__REGION",
    "AWS_REGION": "IMAGEMILL_S3__REGION",
    "AWS_ACCESS_KEY_ID": "IMAGEMILL_S3__ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY": "IMAGEMILL_S3__SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN": "IMAGEMILL_S3__SESSION_TOKEN",
    "COMFY_HTTP_URL": "IMAGEMILL_COMFYUI__URLS",
    "COMFY_BASE_URL": "IMAGEMILL_COMFYUI__URLS",
    "COMFYUI_URL": "IMAGEMILL_COMFYUI__URLS",
    "COMFY_WS_URL": "IMAGEMILL_COMFYUI__URLS",
    "COMFYUI_SERVICE_TOKEN": "IMAGEMILL_COMFYUI__TOKEN",
    "FAL_KEY": "IMAGEMILL_FAL__KEY",
    "COMFYUI_TIMEOUT": "IMAGEMILL_JOB__TIMEOUT_S",
    "CELERY_BROKER_URL": "IMAGEMILL_BROKER_URL",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "IMAGEMILL_OTEL__ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS": "IMAGEMILL_OTEL__HEADERS",
    "OTEL_SERVICE_NAME": "IMAGEMILL_OTEL__SERVICE_NAME",
    "IMAGEMILL_CALLBACK__ALLOW_NETWORKS": "IMAGEMILL_ALLOW_NETWORKS",
    "LLM_BASE_URL": "IMAGEMILL_LLM__BASE_URL",
    "LLM_MODEL": "IMAGEMILL_LLM__MODEL",
    "LLM_API_KEY": "IMAGEMILL_LLM__API_KEY",
    "JWT_SECRET_KEY": "IMAGEMILL_AUTH__JWT_SECRET_KEY",
    "JWT_ALGORITHM": "IMAGEMILL_AUTH__JWT_ALGORITHM",
    "JWT_ACCESS_TOKEN_EXPIRE_MINUTES": "IMAGEMILL_AUTH__JWT_EXPIRE_MINUTES",
}
"""Other names that are read too, so that an existing ``.env`` works. Of several the first counts."""

CLIENT_NAMES = frozenset({"IMAGEMILL_URL", "IMAGEMILL_TOKEN"})
"""Of the client commands: which server, with which token."""


PREFIX = "IMAGEMILL_"


def _lowered(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _database(value: str) -> str:
    """An address whose kind is of no database we know is refused before a driver is looked for."""
    scheme, separator, _ = value.partition("://")
    if separator and scheme.partition("+")[0] not in ("sqlite", "postgres", "postgresql"):
        raise ValueError("should be sqlite:///path or postgresql://user@host/name")
    return value


def _redis(value: str) -> str:
    if not value.startswith(_REDIS):
        raise ValueError("should be redis://host:6379/0, or rediss:// for TLS")
    return value


def _broker(value: str) -> str:
    if not value.startswith((*_REDIS, "amqp://", "amqps://")):
        raise ValueError("should be redis://host:6379/0, rediss:// or amqp://user@host, amqps://")
    return value


_REDIS = ("redis://", "rediss://")


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="IMAGEMILL_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        env_parse_none_str="none",
        env_file=".env",
        toml_file="imagemill.toml",
        frozen=True,
        extra="ignore",
        populate_by_name=True,
    )

    host: str = Field(
        default="127.0.0.1", description="Address to listen on; other than loopback only once there is a key."
    )
    port: int = Field(default=8700, ge=0, le=65535, description="Port; 0: any free.")
    public_url: str | None = Field(default=None, description="How clients reach it, when not by its address.")
    allowed_hosts: tuple[str, ...] = Field(
        default=("localhost", "127.0.0.1", "[::1]", "*.localhost"),
        description="Host headers that are answered, comma-separated, besides those of host and public_url "
        "(guards against DNS rebinding).",
    )
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(),
        description="Addresses whose X-Forwarded-For and X-Forwarded-Proto are believed, such as 127.0.0.1.",
    )
    data_dir: Path = Field(default=Path("imagemill-data"), description="Database, blobs, secrets.")
    database_url: Annotated[str, AfterValidator(_database)] | None = Field(
        default=None,
        description="postgresql://... or sqlite:///path; default: a file in data_dir.",
    )
    database_pooler: bool = Field(
        default=False,
        description="PostgreSQL is behind PgBouncer in transaction mode or its like: nothing is prepared.",
    )
    database_direct_url: Annotated[str, AfterValidator(_database)] | None = Field(
        default=None,
        description="The same database past its pooler, for LISTEN; without it: Redis or polling.",
    )
    sqlite_full_sync: bool = Field(
        default=False,
        description="Survive power loss, not only a crash, at the price of a disk flush a commit.",
    )
    broker_url: Annotated[str, AfterValidator(_broker)] | None = Field(
        default=None,
        description="Where wake-ups for workers on other machines go: redis://..., amqp://...; "
        "without it processes look into the database.",
    )
    redis_url: Annotated[str, AfterValidator(_redis)] | None = Field(
        default=None,
        description="Redis for live progress and news between processes; default: broker_url, if it is one.",
    )
    scheduler_poll_ms: int = Field(
        default=250,
        ge=10,
        description="How often work and events are looked for when nobody tells of them.",
    )
    sweep_s: float = Field(
        default=1.0, gt=0, description="How often lost, expired and due jobs are looked for."
    )
    leader_lease_s: float = Field(
        default=10.0, ge=1, description="A scheduler silent for so long is followed by another one."
    )
    shutdown_grace_s: float = Field(
        default=30.0, ge=0, description="How long running jobs may finish at a stop."
    )
    url_life_s: float = Field(default=3600, gt=0, description="How long a picture's URL is valid.")
    url_signing_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="Signs pictures' URLs, alike on all API machines; none: a key drawn into data_dir.",
    )
    owner: str = Field(
        default="local", min_length=1, max_length=64, description="Who owns all jobs on this machine."
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lowered)] = Field(
        default="info", description="Least level logged."
    )
    log_format: Annotated[Literal["text", "json"], BeforeValidator(_lowered)] = Field(
        default="text",
        description="Log lines for people or for machines.",
    )
    allow_networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(),
        description="Private networks that callbacks, webhooks and fetches may reach, such as 127.0.0.0/8, "
        "comma-separated; by default public addresses only.",
    )
    auth: AuthSettings = Field(default=AuthSettings(), description="Who may call.")
    mail: MailSettings = Field(default=MailSettings(), description="Mail to people who log in.")
    cors: CorsSettings = Field(default=CorsSettings(), description="Pages of other sites.")
    job: JobSettings = Field(default=JobSettings(), description="The life of a job.")
    limit: LimitSettings = Field(default=LimitSettings(), description="Sizes that are refused.")
    safety: SafetySettings = Field(
        default=SafetySettings(), description="Checks of prompts and classifiers of pictures."
    )
    llm: LlmSettings = Field(default=LlmSettings(), description="A language model for translations.")
    socket: SocketSettings = Field(default=SocketSettings(), description="Events over WebSockets.")
    credits: CreditSettings = Field(default=CreditSettings(), description="What jobs cost, and who pays.")
    quota: QuotaSettings = Field(default=QuotaSettings(), description="How much an owner may ask for.")
    callback: CallbackSettings = Field(default=CallbackSettings(), description="Delivery of callbacks.")
    webhook: WebhookSettings = Field(default=WebhookSettings(), description="Webhooks.")
    celery: CelerySettings = Field(default=CelerySettings(), description="Celery, where there is a broker.")
    metrics: MetricsSettings = Field(default=MetricsSettings(), description="Metrics for Prometheus.")
    otel: OtelSettings = Field(default=OtelSettings(), description="Spans for OpenTelemetry.")
    library: LibrarySettings = Field(default=LibrarySettings(), description="The model library.")
    resources: ResourceSettings = Field(default=ResourceSettings(), description="The model registry.")
    civitai: CivitaiSettings = Field(default=CivitaiSettings(), description="Civitai's dialects.")
    characters: CharacterSettings = Field(
        default=CharacterSettings(), description="Avatars, stickers, covers and scenes of characters."
    )
    fal_api: FalApiSettings = Field(default=FalApiSettings(), description="fal's dialect.")
    blobs: BlobSettings = Field(default=BlobSettings(), description="How long files are kept.")
    s3: S3Settings = Field(default=S3Settings(), description="Files in a bucket of S3, R2 or their like.")
    comfyui: ComfySettings = Field(default=ComfySettings(), description="ComfyUI nodes.")
    fal: FalSettings = Field(default=FalSettings(), description="fal.ai, a paid provider.")
    simulator: SimulatorSettings = Field(default=SimulatorSettings(), description="The simulated nodes.")

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, given: Any) -> Any:
        """Settings under their former names, in files."""
        callback = given.get("callback") if isinstance(given, Mapping) else None
        if not isinstance(callback, Mapping) or "allow_networks" not in callback:
            return given
        rest = {name: value for name, value in callback.items() if name != "allow_networks"}
        return {"allow_networks": callback["allow_networks"], **given, "callback": rest}

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        self.fal_api.check_hosts(self.host, self.public_url)
        return self

    @property
    def allowed_host_headers(self) -> tuple[str, ...]:
        """Host headers that are answered."""
        own = f"[{self.host}]" if ":" in self.host else self.host
        public = urlsplit(self.public_url or "").hostname or ""
        shown = f"[{public}]" if ":" in public else public
        return (*self.allowed_hosts, *self.fal_api.hosts, *(host for host in (own, shown) if host))

    @property
    def pubsub_redis_url(self) -> str | None:
        """The Redis of live progress and news."""
        broker = self.broker_url or ""
        return self.redis_url or (broker if broker.startswith(_REDIS) else None)

    @property
    def pubsub_postgres_url(self) -> str | None:
        """PostgreSQL where a session lasts; None: there is none."""
        url = self.database_direct_url or (None if self.database_pooler else self.database)
        return url if url is not None and url.startswith("postgres") else None

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
        del env_settings, file_secret_settings  # ours read lists as people write them
        file = dotenv_settings.env_file if isinstance(dotenv_settings, DotEnvSettingsSource) else None
        return (
            init_settings,
            _Environment(settings_cls),
            _DotEnv(settings_cls, env_file=file),
            TomlConfigSettingsSource(settings_cls),
        )


class _Environment(EnvSettingsSource):
    def _load_env_vars(self) -> Mapping[str, str | None]:
        return _with_aliases(super()._load_env_vars())

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        return _decoded(
            value, lambda: super(_Environment, self).decode_complex_value(field_name, field, value)
        )


class _DotEnv(DotEnvSettingsSource):
    def _load_env_vars(self) -> Mapping[str, str | None]:
        return _with_aliases(super()._load_env_vars())

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        return _decoded(value, lambda: super(_DotEnv, self).decode_complex_value(field_name, field, value))


def _with_aliases(found: Mapping[str, str | None]) -> Mapping[str, str | None]:
    """Names are in lower case here. A setting's own name goes before its aliases."""
    given = {
        setting.lower(): found[alias.lower()]
        for alias, setting in reversed(ALIASES.items())
        if found.get(alias.lower())
    }
    former = {alias.lower() for alias in ALIASES if alias.startswith(PREFIX)}
    return {**given, **{name: value for name, value in found.items() if name not in former}}


def _decoded(value: Any, decode: Callable[[], Any]) -> Any:
    """JSON, else a comma-separated list. Broken JSON stays text, for the validation to name the setting."""
    try:
        return decode()
    except ValueError:
        text = str(value).strip()
        return (
            value
            if text.startswith(("[", "{"))
            else [part.strip() for part in text.split(",") if part.strip()]
        )


def setting_names(model: type[BaseModel] = Settings, prefix: str = PREFIX) -> Iterator[tuple[str, FieldInfo]]:
    """The environment name of every setting, groups opened, in the order they are written here."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from setting_names(kind, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}", field


def aliases() -> dict[str, list[str]]:
    """The other names of each setting that has some."""
    others: dict[str, list[str]] = {}
    for alias, setting in ALIASES.items():
        others.setdefault(setting, []).append(alias)
    return others


def unknown_variables(environment: Iterable[str]) -> list[str]:
    """One sentence a variable that looks like a setting of ours and is none."""
    known = [
        *(name for name, _ in setting_names()),
        *(alias for alias in ALIASES if alias.startswith(PREFIX)),
    ]
    groups = {name.rpartition("__")[0] for name in known}
    lines: list[str] = []
    for name in sorted(environment):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper in known or upper in groups or upper in CLIENT_NAMES:
            continue
        near = difflib.get_close_matches(upper, known, n=1, cutoff=0.85)
        lines.append(f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else ""))
    return lines


def format_errors(error: ValidationError) -> list[str]:
    """One sentence a wrong setting, with the name the user set it by."""
    others = aliases()
    lines: list[str] = []
    for fault in error.errors():
        name = "__".join(str(part) for part in fault["loc"]).upper()
        shown = name if name.startswith(PREFIX) else f"{PREFIX}{name}"
        also = f" (or {', '.join(others[shown])})" if shown in others else ""
        if fault["type"] == "extra_forbidden":
            lines.extend(unknown_variables([shown]) or [f"{shown} is not a setting"])
        elif any(word in shown for word in _SECRETS):
            lines.append(f"{shown}{also}: {fault['msg']}")
        else:
            lines.append(f"{shown}{also}: {fault['msg']} (it is {_shown(fault['input'])})")
    return lines


_SECRETS = (
    "FAL__KEY",
    "SECRET",
    "SIGNING_KEY",
    "TOKEN",
    "ADMIN_KEY",
    "API_KEY",
    "FORMER_KEYS",
    "PASSWORD",
    "OTEL__HEADERS",
)
"""In the names of settings whose values are never shown."""
_CREDENTIALS = re.compile(r"://[^/@]*@")


def _shown(value: Any) -> str:
    text = _CREDENTIALS.sub("://***@", repr(value))
    return text if len(text) <= 80 else f"{text[:77]}..."
