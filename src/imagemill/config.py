"""Settings: read once, at start, from options, the environment, ``.env``, ``imagemill.toml`` and a profile.

The first of these sources that gives a value wins. Every setting has the environment name ``IMAGEMILL_`` +
its name in capitals, with two underscores after a group (``IMAGEMILL_SIMULATOR__STEP_MS``); some have other
names as well.
"""

import inspect
import os
import sys
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    create_model,
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

from imagemill.backends.comfyui.settings import ComfySettings, timeout_in_seconds
from imagemill.backends.fal.settings import FalSettings
from imagemill.backends.press.settings import PressSettings
from imagemill.backends.simulator.settings import SimulatorSettings
from imagemill.blobs.settings import BlobSettings, S3Settings
from imagemill.db.address import check_schema, driver_address, sqlite_address
from imagemill.dialects.fal.settings import FalApiSettings
from imagemill.language.settings import LanguageModelSettings
from imagemill.observability.settings import OtelSettings
from imagemill.products.base import installed_products, load_plugin, registered
from imagemill.setting_names import ALIASES, FIXED, PREFIX
from imagemill.settings import (
    AuthSettings,
    CelerySettings,
    CivitaiSettings,
    CorsSettings,
    CreditSettings,
    JobSettings,
    LimitSettings,
    Listed,
    MailSettings,
    MetricsSettings,
    QuotaSettings,
    ResourceSettings,
    SafetySettings,
    SecretUrl,
    SettingsGroup,
    WebhookSettings,
    check_broker_url,
    check_database_url,
    check_redis_url,
)

ENV_FILE, TOML_FILE = ".env", "imagemill.toml"
"""Files in the folder a command is started in."""

ProfileName = Literal["dev", "ci", "realistic", "fleet", "public"]

_LOOPBACK = ("127.0.0.0/8", "::1/128")
PROFILES: Mapping[str, Mapping[str, Any]] = {
    "dev": {
        "log_format": "text",
        "allow_networks": _LOOPBACK,  # callbacks and webhooks to an application on this machine
        "shutdown_grace_s": 2.0,
        "auth": {"required": "auto"},
        "simulator": {"enabled": "always", "step_ms": 40.0, "load_ms": 400.0},
    },
    "ci": {
        "log_format": "json",
        "allow_networks": _LOOPBACK,
        "scheduler_poll_ms": 50,
        "sweep_s": 0.2,
        "shutdown_grace_s": 2.0,
        "auth": {"remember_s": 0.0, "password_memory_mb": 8},
        "job": {"retry_base_s": 0.05, "heartbeat_s": 0.2},
        "webhook": {"retry_base_s": 0.2},
        "simulator": {"enabled": "always", "step_ms": 0.0, "load_ms": 0.0, "jitter": 0.0, "seed": 1},
    },
    "realistic": {
        "log_format": "text",
        "allow_networks": _LOOPBACK,
        "shutdown_grace_s": 2.0,
        # About as a consumer GPU: 20 steps of SDXL in 3 s, and a load from a fast disk.
        "simulator": {"enabled": "always", "step_ms": 150.0, "load_ms": 5000.0, "jitter": 0.1},
    },
    "fleet": {"log_format": "json"},
    "public": {
        "log_format": "json",
        "allowed_hosts": (),  # that of public_url is always answered
        "trusted_proxies": ("127.0.0.1/32", "::1/128"),
        "auth": {"required": "always"},
        "cors": {"contract_origins": ()},
        "limit": {"jobs_per_request": 100},
        "quota": {"enabled": True, "requests_per_minute": 120, "jobs_in_flight": 100, "most_jobs": 10_000},
    },
}
"""Defaults of each profile, below everything a user sets."""


_MOST_PROCESSES = 64


def _checked_processes(value: object) -> object:
    """Return the number, or ``auto``. Raises `ValueError` in place of one message for each of both types."""
    text = str(value).strip().lower()
    if text == "auto":
        return text
    if text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= _MOST_PROCESSES:
        return int(text)
    raise ValueError(f"should be a whole number from 1 to {_MOST_PROCESSES}, or auto")


def _lowered(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def default_data_dir() -> Path:
    """Return the folder of the data where no setting names one.

    A checkout keeps its data beside the code, and so does a folder that has data already. An installed
    command would leave a database in every folder it is called in: it uses the user's state directory.
    """
    here = Path("imagemill-data")
    if here.is_dir() or (Path(__file__).parents[2] / "pyproject.toml").is_file():
        return here
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "imagemill"


class CoreSettings(BaseSettings):
    model_config = SettingsConfigDict(
        defer_build=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        env_parse_none_str="none",
        env_file=ENV_FILE,
        toml_file=TOML_FILE,
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    profile: Annotated[ProfileName, BeforeValidator(_lowered)] | None = Field(
        default=None,
        description="Named set of defaults: dev, ci, realistic, fleet or public; none: those of this page.",
    )
    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on; one that other machines can reach needs a key first.",
    )
    port: int = Field(default=8700, ge=0, le=65535, description="Port to listen on; 0: any free port.")
    public_url: str | None = Field(
        default=None,
        description="Address at which clients reach the server, such as https://images.example; none: the "
        "one a request was sent to.",
    )
    allowed_hosts: Listed[str] = Field(
        default=("localhost", "127.0.0.1", "[::1]", "*.localhost"),
        description="Host headers that are accepted besides those of host and public_url, comma-separated; "
        "others are refused, against DNS rebinding.",
    )
    trusted_proxies: Listed[IPv4Network | IPv6Network] = Field(
        default=(),
        description="Addresses of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted, "
        "comma-separated, such as 127.0.0.1; empty: none.",
    )
    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="Folder for the database, pictures and secrets. An installed command uses imagemill in "
        "the user's state directory, such as ~/.local/state/imagemill, where there is no ./imagemill-data.",
    )
    database_url: Annotated[SecretUrl, AfterValidator(check_database_url)] | None = Field(
        default=None,
        description="Database: postgresql://user:password@host/name or sqlite:///path; none: an SQLite "
        "file in data_dir. ?schema=imagemill keeps the tables in a schema of their own.",
    )
    database_pooler: bool = Field(
        default=False,
        description="PostgreSQL is behind a pooler in transaction mode, such as PgBouncer: statements are "
        "not prepared.",
    )
    database_direct_url: Annotated[SecretUrl, AfterValidator(check_database_url)] | None = Field(
        default=None,
        description="Address of the same database past its pooler, for LISTEN; none: Redis or polling is "
        "used.",
    )
    fsync: bool = Field(
        default=True,
        description="Flush commits of SQLite and files in data_dir to the disk before a job is accepted or "
        "succeeds; without it, a power failure may lose the last ones.",
    )
    broker_url: Annotated[SecretUrl, AfterValidator(check_broker_url)] | None = Field(
        default=None,
        description="Redis or RabbitMQ that wakes workers on other machines: redis://host:6379/0 or "
        "amqp://...; none: workers poll the database.",
    )
    redis_url: Annotated[SecretUrl, AfterValidator(check_redis_url)] | None = Field(
        default=None,
        description="Redis for live progress and events between processes; none: broker_url, if that is "
        "Redis.",
    )
    processes: Annotated[int | Literal["auto"], BeforeValidator(_checked_processes)] = Field(
        default=1,
        description="Processes of `imagemill serve`: one does everything, several use as many cores; auto: "
        "one a core, at most 8.",
    )
    scheduler_poll_ms: int = Field(
        default=250,
        ge=10,
        description="Polling interval in milliseconds for jobs and events that neither a broker, Redis, "
        "PostgreSQL nor another process of this machine reports.",
    )
    sweep_s: float = Field(
        default=1.0,
        gt=0,
        description="Seconds between the scheduler's sweeps for lost, expired and due jobs. Threads that "
        "other processes wake up look for work themselves after five times as long, at most 5 s.",
    )
    leader_lease_s: float = Field(
        default=10.0,
        ge=1,
        description="Seconds without a heartbeat after which another scheduler becomes leader.",
    )
    shutdown_grace_s: float = Field(
        default=30.0,
        ge=0,
        description="Seconds that running jobs may finish at a stop; 0 hands them back at once.",
    )
    url_life_s: float = Field(
        default=3600, gt=0, description="Seconds that the signed URL of a picture is valid."
    )
    url_signing_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="Key that signs URLs of pictures, the same on all API machines; none: one generated in "
        "data_dir.",
    )
    owner: str = Field(
        default="local",
        min_length=1,
        max_length=64,
        description="Owner of all jobs submitted without a key, and of the administrator's key.",
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lowered)] = Field(
        default="info", description="Lowest level that is logged."
    )
    log_format: Annotated[Literal["text", "json"], BeforeValidator(_lowered)] = Field(
        default="text", description="Format of log lines: text for people, json for machines."
    )
    access_log: bool = Field(
        default=True,
        description="Log a line for each request at the level info: method, route, status, milliseconds, "
        "trace and account; probes only when they fail.",
    )
    allow_networks: Listed[IPv4Network | IPv6Network] = Field(
        default=(),
        description="Private networks that callbacks, webhooks and fetches may reach, comma-separated, "
        "such as 127.0.0.0/8; empty: public addresses only.",
    )
    auth: AuthSettings = Field(default=AuthSettings(), description="Authentication.")
    mail: MailSettings = Field(default=MailSettings(), description="Mail for password resets.")
    cors: CorsSettings = Field(default=CorsSettings(), description="Web pages of other origins (CORS).")
    job: JobSettings = Field(default=JobSettings(), description="Jobs.")
    limit: LimitSettings = Field(default=LimitSettings(), description="Limits of requests and pictures.")
    safety: SafetySettings = Field(
        default=SafetySettings(), description="Checks of prompts and classifiers of pictures."
    )
    credits: CreditSettings = Field(default=CreditSettings(), description="Credits.")
    quota: QuotaSettings = Field(default=QuotaSettings(), description="Quotas.")
    webhook: WebhookSettings = Field(default=WebhookSettings(), description="Webhooks and callbacks.")
    celery: CelerySettings = Field(default=CelerySettings(), description="Celery, with a broker.")
    metrics: MetricsSettings = Field(default=MetricsSettings(), description="Metrics for Prometheus.")
    otel: OtelSettings = Field(default=OtelSettings(), description="Tracing with OpenTelemetry.")
    resources: ResourceSettings = Field(default=ResourceSettings(), description="Model registry.")
    civitai: CivitaiSettings = Field(default=CivitaiSettings(), description="Civitai's API.")
    fal_api: FalApiSettings = Field(default=FalApiSettings(), description="fal's API, served here.")
    blobs: BlobSettings = Field(default=BlobSettings(), description="Retention of files.")
    s3: S3Settings = Field(default=S3Settings(), description="Files in a bucket of S3, R2 or the like.")
    comfyui: ComfySettings = Field(default=ComfySettings(), description="ComfyUI nodes.")
    fal: FalSettings = Field(default=FalSettings(), description="fal.ai, a paid provider.")
    press: PressSettings = Field(default=PressSettings(), description="Pages and documents on the CPU.")
    simulator: SimulatorSettings = Field(default=SimulatorSettings(), description="Simulator.")
    language_model: LanguageModelSettings = Field(
        default=LanguageModelSettings(), description="Language model for tasks."
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_former_names(cls, given: Any) -> Any:
        return _with_current_names(given) if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        self.fal_api.check_hosts(self.host, self.public_url)
        check_schema(self.database_url, is_pooled=self.database_pooler)
        return self

    @property
    def allowed_host_headers(self) -> tuple[str, ...]:
        """Host headers that are accepted."""
        own = f"[{self.host}]" if ":" in self.host else self.host
        public = urlsplit(self.public_url or "").hostname or ""
        shown = f"[{public}]" if ":" in public else public
        return (*self.allowed_hosts, *self.fal_api.hosts, *(host for host in (own, shown) if host))

    @property
    def broker(self) -> str | None:
        """The broker's address with its password."""
        return self.broker_url.get_secret_value() if self.broker_url is not None else None

    @property
    def pubsub_redis_url(self) -> str | None:
        """The Redis for live progress and events, with its password."""
        if self.redis_url is not None:
            return self.redis_url.get_secret_value()
        broker = self.broker or ""
        return broker if broker.startswith(("redis://", "rediss://")) else None

    @property
    def pubsub_postgres_url(self) -> str | None:
        """PostgreSQL where sessions last, which LISTEN needs; None where there is none."""
        if self.database_direct_url is not None:
            url = driver_address(self.database_direct_url.get_secret_value())
        else:
            url = "" if self.database_pooler else self.database
        return url if url.startswith("postgres") else None

    @property
    def database(self) -> str:
        """The database's address with its password."""
        if self.database_url is None:
            return sqlite_address(self.data_dir / "imagemill.db")
        return driver_address(self.database_url.get_secret_value())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del env_settings, file_secret_settings  # ours know aliases
        file = dotenv_settings.env_file if isinstance(dotenv_settings, DotEnvSettingsSource) else None
        return (
            init_settings,
            _Environment(settings_cls),
            _DotEnv(settings_cls, env_file=file),
            _Toml(settings_cls),
            _Profile(settings_cls),
        )

    def profile_problems(self) -> list[str]:
        """Return a sentence with the remedy for each missing setting that the chosen profile requires."""
        problems: list[str] = []
        if self.profile == "fleet":
            if not self.database.startswith("postgres"):
                problems.append(
                    "the profile fleet needs PostgreSQL: set IMAGEMILL_DATABASE_URL to "
                    "postgresql://user:password@host/name"
                )
            if self.broker_url is None:
                problems.append(
                    "the profile fleet needs a broker: set IMAGEMILL_BROKER_URL to redis://host:6379/0 or "
                    "amqp://user:password@host"
                )
        if self.profile == "public":
            if not (self.public_url or "").startswith("https://"):
                problems.append(
                    "the profile public needs the address that clients use, with TLS: set "
                    "IMAGEMILL_PUBLIC_URL to https://your.host"
                )
            if self.auth.required != "always":
                problems.append("the profile public needs authentication: remove IMAGEMILL_AUTH__REQUIRED")
        return problems


class _Environment(EnvSettingsSource):
    def _load_env_vars(self) -> Mapping[str, str | None]:
        return _with_aliases(super()._load_env_vars())


class _DotEnv(DotEnvSettingsSource):
    def _load_env_vars(self) -> Mapping[str, str | None]:
        return _with_aliases(super()._load_env_vars())


class _Toml(TomlConfigSettingsSource):
    def __call__(self) -> dict[str, Any]:
        return _with_current_names(super().__call__())


class _Profile(PydanticBaseSettingsSource):
    """The defaults of the profile that the sources before this one have chosen."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        return dict(PROFILES.get(str(self.current_state.get("profile")).lower(), {}))


def _with_aliases(found: Mapping[str, str | None]) -> Mapping[str, str | None]:
    """Variables under today's names; here names are in lower case. A setting's own name goes before its
    aliases."""
    given = {
        setting.lower(): timeout_in_seconds(value) if alias == "COMFYUI_TIMEOUT" else value
        for alias, setting in reversed(ALIASES.items())
        if (value := found.get(alias.lower()))
    }
    return {**given, **{name: value for name, value in found.items() if name not in _FORMER}}


_FORMER = frozenset(name.lower() for name in (*ALIASES, *FIXED) if name.startswith(PREFIX))


def _with_current_names(given: Mapping[str, Any]) -> dict[str, Any]:
    """The same for the nested values of a TOML file, or of arguments."""
    current = dict(given)
    for former, setting in _FORMER_PATHS:
        if former[0] in current:
            value = _take(current, former)
            if value is not None and setting is not None:
                _put(current, setting, value)
    return current


def _path(name: str) -> list[str]:
    return name.removeprefix(PREFIX).lower().split("__")


_FORMER_PATHS = [
    (_path(name), _path(ALIASES[name]) if name in ALIASES else None)
    for name in (*ALIASES, *FIXED)
    if name.startswith(PREFIX)
]


def _take(tree: dict[str, Any], path: list[str]) -> Any:
    """Remove a value from nested dictionaries, without changing those of the caller."""
    first, *rest = path
    if not rest or first not in tree:
        return tree.pop(first, None)
    if not isinstance(tree[first], Mapping):
        return None
    inner = tree[first] = dict(tree[first])
    return _take(inner, rest)


def _put(tree: dict[str, Any], path: list[str], value: Any) -> None:
    """Add a value to nested dictionaries where there is none."""
    *groups, last = path
    for group in groups:
        inner = tree.get(group, {})
        if not isinstance(inner, Mapping):
            return
        tree[group] = tree = dict(inner)
    tree.setdefault(last, value)


def _with_plugins(core: type[CoreSettings]) -> type[CoreSettings]:
    """Return the settings of the core, of the installed products (`Product.settings_groups`) and of other
    plug-ins (entry points ``imagemill.settings``: the group's name and its class)."""
    installed: dict[str, Any] = {}
    for product in installed_products():
        installed |= product.settings_groups()
    installed |= {entry.name: load_plugin("settings", entry) for entry in registered("settings")}
    groups: dict[str, Any] = {
        name: (group, Field(default=group(), description=inspect.getdoc(group)))
        for name, group in installed.items()
    }
    return create_model("Settings", __base__=core, __module__=__name__, **groups)


if TYPE_CHECKING:
    Settings = CoreSettings
else:
    Settings = _with_plugins(CoreSettings)


def setting_names(model: type[BaseModel] = Settings, prefix: str = PREFIX) -> Iterator[tuple[str, FieldInfo]]:
    """The environment name of every setting, with the groups' settings, in the order of the code."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, SettingsGroup):
            yield from setting_names(kind, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}", field


def aliases() -> dict[str, list[str]]:
    """The other names of each setting that has some."""
    others: dict[str, list[str]] = {}
    for alias, setting in ALIASES.items():
        others.setdefault(setting, []).append(alias)
    return others
