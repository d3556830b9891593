"""Groups of settings that have no module of their own, and the types that settings share.

A value that nobody tunes is no setting: it is a `ClassVar` of the group it belongs to, with its unit and
reason.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_settings import NoDecode

from imagemill.domain.failures import Backoff

if TYPE_CHECKING:
    from imagemill.domain.placement import PlacementRules


class SettingsGroup(BaseModel):
    """Settings that belong together; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


class JsonSetting(BaseModel):
    """One setting with several fields. It is written as JSON, or a field at a time:
    ``IMAGEMILL_QUOTA__END_USER__JOBS_IN_FLIGHT=5``."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


def decode(value: Any) -> Any:
    """Read the text of an environment variable: JSON where it begins with a bracket, else a comma-separated
    list.

    Broken JSON stays text, so that the validation names the setting.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text.startswith(("[", "{")):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return json.loads(text)
    except ValueError:
        return value


_T = TypeVar("_T")
_M = TypeVar("_M", bound=JsonSetting)
Listed = Annotated[tuple[_T, ...], NoDecode, BeforeValidator(decode)]
Mapped = Annotated[Mapping[str, _T], NoDecode, BeforeValidator(decode)]
Combined = Annotated[_M, NoDecode, BeforeValidator(decode)]


_SECRET_PARAMETER = re.compile(r"(?i)([?&;](?:[^=&;#]*(?:pass|pwd|secret|token|key)[^=&;#]*)=)[^&;#]*")


def mask_url(text: str) -> str:
    """``text`` without the password of a URL in it: ``redis://user:***@host/0``.

    Passwords are often not percent-encoded, so all between the scheme and the last ``@`` counts as
    credentials, and a name without a password is hidden as well: it may be a token.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    if rest.startswith("/"):  # a file, or a socket: no credentials
        return _SECRET_PARAMETER.sub(r"\1***", text)
    credentials, at, place = rest.rpartition("@")
    user, colon, _ = credentials.partition(":")
    shown = f"{user}:***" if user and colon else "***"
    return _SECRET_PARAMETER.sub(r"\1***", f"{scheme}://{shown}@{place}" if at else text)


class SecretUrl(SecretStr):
    """A URL that may hold a password: it is shown without one wherever it is printed, logged or dumped."""

    def _display(self) -> str:
        return mask_url(self.get_secret_value())


class AuthSettings(SettingsGroup):
    login_tries: ClassVar[int] = 10
    """Wrong passwords for one account from one address in `login_window_s`: no person types more."""
    login_window_s: ClassVar[float] = 900.0
    """Seconds in which `login_tries` wrong passwords are counted: long enough to stop guessing, short enough
    for a person to wait."""

    required: Literal["auto", "open", "always"] = Field(
        default="auto",
        description="When callers must send a key. auto: not on loopback until the first key or user exists; "
        "open: nor on other addresses, which is unsafe outside a private test network; always: in any case.",
    )
    admin_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="Administrator's key, for installations that get their first key from a secret store; "
        "none: keys come from the database only.",
    )
    remember_s: float = Field(
        default=2.0,
        ge=0,
        le=60,
        description="Seconds that a checked key is cached: a key revoked by another process works here no "
        "longer than this. 0 checks the database at each request.",
    )
    sign_up: bool = Field(default=False, description="Let anybody who reaches the server create an account.")
    session_days: float = Field(
        default=30.0, gt=0, description="Days without a refresh after which a login expires."
    )
    password_memory_mb: int = Field(
        default=64,
        ge=8,
        le=1024,
        description="Memory in MB for hashing one password with argon2id; two are hashed at a time.",
    )
    jwt_algorithm: Literal["HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA"] = Field(
        default="HS256", description="Algorithm that signs the tokens of logins."
    )
    jwt_secret_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="Key that signs the tokens of logins, the same on all API machines: a secret, or a "
        "private key as PEM; none: a secret generated in data_dir.",
    )
    jwt_former_keys: Listed[SecretStr] = Field(
        default=(), description="Earlier signing keys, comma-separated: tokens they signed stay valid."
    )
    jwt_expire_minutes: float = Field(
        default=10_080.0,
        gt=0,
        description="Minutes that a login's token is valid; a logout ends it at once.",
    )


class MailSettings(SettingsGroup):
    timeout_s: ClassVar[float] = 15.0
    """Seconds for one step with the mail server."""

    smtp_host: str | None = Field(
        default=None, description="Mail server that sends password resets; none: no mail is sent."
    )
    smtp_port: int = Field(
        default=587, ge=1, le=65535, description="Port of the mail server: 587 for starttls, 465 for tls."
    )
    smtp_tls: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description="Encryption to the mail server; none is only for a server on this machine.",
    )
    smtp_user: str | None = Field(default=None, description="User name at the mail server; none: no login.")
    smtp_password: SecretStr | None = Field(default=None, description="Password at the mail server.")
    sender: str = Field(default="imagemill@localhost", description="Sender address of mails.")
    folder: Path | None = Field(
        default=None,
        description="Folder that mails are written to instead of being sent, for development; none: they "
        "are sent.",
    )
    reset_url: str | None = Field(
        default=None,
        description="Page to enter a new password, such as https://app.example/reset?token={token}; none: "
        "the mail holds the token alone.",
    )


class CorsSettings(SettingsGroup):
    origins: Listed[str] = Field(
        default=(),
        description="Origins whose web pages may call /api/v1, and everything while no key is needed, "
        "comma-separated, such as https://app.example; * allows all, empty none.",
    )
    contract_origins: Listed[str] = Field(
        default=("*",),
        description="Origins whose web pages may call /v1, /v2, /fal and /blobs, comma-separated; * allows "
        "all where a key is needed.",
    )


class JobSettings(SettingsGroup):
    retry_cap_s: ClassVar[float] = 60.0
    """Longest delay between two tries in seconds."""
    avoid_node_s: ClassVar[float] = 60.0
    """Seconds for which a failed job avoids the node it failed on, while others can take it."""

    life_s: float = Field(
        default=86_400, gt=0, description="Seconds after which a job that has not started expires."
    )
    timeout_s: float = Field(
        default=600,
        gt=0,
        description="Longest time in seconds for one attempt to render, unless the job sets less.",
    )
    max_failures: int = Field(
        default=5, ge=1, le=100, description="Failed attempts after which a job fails for good."
    )
    retry_base_s: float = Field(
        default=1.0,
        ge=0,
        description="Delay in seconds before the first retry; it doubles up to 60 s. 0 retries at once.",
    )
    per_minute: int | None = Field(
        default=None,
        ge=1,
        description="Most jobs a process starts per minute, over all its slots; none: no limit.",
    )
    lease_s: float = Field(
        default=30.0,
        ge=1,
        description="Seconds without a heartbeat after which a worker loses its job and the job is queued "
        "again.",
    )
    reattach_s: float = Field(
        default=30.0,
        ge=0,
        description="Seconds for which a lost worker's job waits for the ComfyUI node that may still "
        "render it; 0 offers it to all nodes at once.",
    )
    heartbeat_s: float = Field(
        default=1.0,
        gt=0,
        description="Seconds between heartbeats, which save progress, extend leases and notice "
        "cancellations.",
    )
    affinity_bound_s: float = Field(
        default=150.0,
        ge=0,
        description="Seconds that the first job in fair order waits before a node loads another model for "
        "it; 0 loads it at once.",
    )
    fair_horizon_s: float = Field(
        default=400.0,
        gt=0,
        description="Seconds behind in fair order at which a job counts a third; a smaller value keeps the "
        "order more strictly and loads models more often.",
    )
    load_s: float = Field(
        default=10.0,
        ge=0,
        description="Seconds that a model takes to load, for nodes that do not report it; 0: loads cost "
        "nothing.",
    )
    retention_days: float = Field(
        default=30.0, gt=0, description="Days after which finished jobs and their files are deleted."
    )

    @property
    def backoff(self) -> Backoff:
        return Backoff(self.retry_base_s, self.retry_cap_s)

    @property
    def placement(self) -> "PlacementRules":
        from imagemill.domain.placement import PlacementRules  # which only workers need

        return PlacementRules(self.load_s, self.affinity_bound_s, self.fair_horizon_s)

    @property
    def retention_s(self) -> float:
        return self.retention_days * 86_400


class LimitSettings(SettingsGroup):
    head_s: ClassVar[float] = 10.0
    """Seconds for the head of a request to arrive."""
    body_s: ClassVar[float] = 60.0
    """Seconds for the body of a request to arrive: 32 MB at 5 Mbit/s. A slower one gets a 408."""
    answer_s: ClassVar[float] = 30.0
    """Seconds in which a client must take 64 KiB of a waiting response; else the connection is closed."""
    fetch_s: ClassVar[float] = 30.0
    """Seconds for fetching a picture by URL."""
    decode_s: ClassVar[float] = 10.0
    """Seconds for decoding a client's picture; a slower one is refused."""
    craft_s: ClassVar[float] = 60.0
    """Seconds for post-processing a finished picture: chroma key, trimming, encoding."""
    image_side: ClassVar[int] = 16_384
    """Most pixels in a row or a column of a client's picture: as many as WebP can hold."""
    uploads_of_owner: ClassVar[int] = 10_000
    """Most input pictures of an owner that are kept at a time: what a store lists in a second."""
    upload_bytes_of_owner: ClassVar[int] = 10 * 2**30
    """Most bytes of them: as many as 10,000 photographs of a megabyte have."""
    output_bytes: ClassVar[int] = 2**30
    """Largest file in bytes that a render may return."""

    body_bytes: int = Field(
        default=4 * 2**20,
        ge=1024,
        description="Largest request body in bytes; a larger one gets a 413.",
    )
    prompt_chars: int = Field(
        default=10_000, ge=1, description="Longest prompt or negative prompt in characters."
    )
    jobs_per_request: int = Field(default=500, ge=1, description="Most jobs that one request may create.")
    input_bytes: int = Field(
        default=32 * 2**20,
        ge=1024,
        description="Largest picture in bytes that a client may upload or have fetched.",
    )
    image_pixels: int = Field(
        default=64 * 2**20, ge=1, description="Most pixels of a picture that is decoded (width times height)."
    )
    wait_s: float = Field(
        default=95.0,
        gt=0,
        le=600,
        description="Longest time in seconds that a request with wait=true is held.",
    )
    streams: int = Field(
        default=1000,
        ge=1,
        description="Most open event streams and waiting requests of a process; one owner has a fifth of "
        "them.",
    )

    @property
    def streams_of_owner(self) -> int:
        """The most open event streams and waiting requests of one owner: a fifth of all."""
        return max(1, self.streams // 5)


class SafetySettings(SettingsGroup):
    checks: Listed[str] = Field(
        default=("words", "characters", "profanity"),
        description="Checks of prompts, in this order, comma-separated; the check minors always runs first.",
    )
    blocked_words: Listed[str] = Field(
        default=(),
        description="Words and phrases that the check words blocks, comma-separated; stem* blocks all "
        "words that begin with stem.",
    )
    languages: Listed[str] = Field(
        default=("english",),
        description="Word lists of the check profanity, comma-separated, such as english,spanish.",
    )
    profanity: Literal["flag", "block"] = Field(
        default="flag", description="Whether a prompt with a listed word is flagged or blocked."
    )
    classifiers: Listed[str] = Field(
        default=("nsfw",), description="Classifiers of finished pictures, in this order, comma-separated."
    )
    nsfw_model: Path | None = Field(
        default=None, description="ONNX file of the classifier nsfw; none: that classifier is off."
    )
    nsfw_output: int = Field(
        default=1, ge=0, description="Index of the model's output that is the score, from 0."
    )
    nsfw_flag: float = Field(default=0.5, ge=0, le=1, description="Score from which a picture is flagged.")
    nsfw_block: float = Field(
        default=0.85,
        ge=0,
        le=1,
        description="Score from which a picture is deleted; 1 deletes only pictures with the full score.",
    )


class PriceSettings(SettingsGroup):
    """Credits for one picture of a recipe."""

    base: float = Field(default=0.0, ge=0, le=1e6, allow_inf_nan=False)
    megapixel: float = Field(default=0.0, ge=0, le=1e6, allow_inf_nan=False)
    step: float = Field(default=0.0, ge=0, le=1e6, allow_inf_nan=False)
    megapixel_step: float = Field(default=0.0, ge=0, le=1e6, allow_inf_nan=False)
    minimum: float = Field(default=0.0, ge=0, le=1e6, allow_inf_nan=False)


Factor = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]


class CreditSettings(SettingsGroup):
    enabled: bool = Field(
        default=False,
        description="Charge credits for jobs; otherwise costs are shown and nobody is charged.",
    )
    prices: Mapped[PriceSettings] = Field(
        default={},
        description="Prices of recipes that replace the built-in ones, as JSON: credits for base, "
        "megapixel, step, megapixel_step and a minimum, for each picture.",
    )
    backends: Mapped[Factor] = Field(
        default={}, description='Factors that multiply prices by backend, as JSON: {"comfyui": 1.5}.'
    )


Count = Annotated[int, Field(ge=0)]


class EndUserLimits(JsonSetting):
    """Limits of each end user of an account."""

    requests_per_minute: int | None = Field(default=None, ge=0)
    jobs_in_flight: int | None = Field(default=None, ge=0)
    megapixels_per_day: float | None = Field(default=None, ge=0)
    cooldown_s: Mapped[Factor] = Field(default={})
    jobs_per_day: Mapped[Count] = Field(default={})


class QuotaSettings(SettingsGroup):
    enabled: bool = Field(
        default=False, description="Apply the limits below, and those set for single owners."
    )
    requests_per_minute: int | None = Field(
        default=None,
        ge=0,
        description="Requests per minute of an account with its end users; none: no limit.",
    )
    jobs_in_flight: int | None = Field(
        default=None,
        ge=0,
        description="Jobs of an account with its end users that may wait or run at once; none: no limit.",
    )
    megapixels_per_day: float | None = Field(
        default=None,
        ge=0,
        description="Megapixels an account may request per day (UTC), with its end users; none: no limit.",
    )
    cooldown_s: Mapped[Factor] = Field(
        default={},
        description='Seconds between two submissions of a recipe by an account, as JSON: {"comfy": 10}.',
    )
    jobs_per_day: Mapped[Count] = Field(
        default={},
        description='Jobs of a recipe that an account may submit per day (UTC), as JSON: {"scene": 200}.',
    )
    end_user: Combined[EndUserLimits] = Field(
        default=EndUserLimits(),
        description="The same five limits for each end user of an account, as JSON: "
        '{"jobs_in_flight": 5, "jobs_per_day": {"scene": 20}}.',
    )
    roles: Listed[Literal["user", "operator", "admin"]] = Field(
        default=("user",),
        description="Roles that these limits apply to, comma-separated; an owner's own limits apply to "
        "every role.",
    )
    most_jobs: int | None = Field(
        default=None, ge=1, description="Most unfinished jobs of all owners together; none: no limit."
    )
    refuse_late: bool = Field(
        default=True, description="Refuse jobs that would expire before their turn in the queue."
    )


class WebhookSettings(SettingsGroup):
    retry_cap_s: ClassVar[float] = 4 * 3600.0
    """Longest delay between two tries in seconds: 20 tries then take about a day."""
    rotation_s: ClassVar[float] = 86_400.0
    """Seconds for which a replaced secret still signs: a day to deploy the new one."""
    pause_after_s: ClassVar[float] = 86_400.0
    """Seconds without a successful delivery after which an endpoint is paused: as long as 20 tries take."""

    endpoints: int = Field(default=10, ge=1, le=1000, description="Most webhook endpoints of an owner.")
    timeout_s: float = Field(
        default=10.0,
        gt=0,
        le=60,
        description="Longest time in seconds for one delivery of a webhook or a callback, with its DNS "
        "look-up.",
    )
    tries: int = Field(
        default=20,
        ge=1,
        description="Tries to deliver a webhook or a callback; 20 take about a day.",
    )
    retry_base_s: float = Field(
        default=5.0,
        gt=0,
        description="Delay in seconds before the second try; it doubles up to four hours.",
    )
    retention_days: float = Field(
        default=14.0,
        gt=0,
        description="Days after which webhook messages and their attempts are deleted, delivered or not.",
    )

    @property
    def backoff(self) -> Backoff:
        return Backoff(self.retry_base_s, self.retry_cap_s)

    @property
    def retention_s(self) -> float:
        return self.retention_days * 86_400


class MetricsSettings(SettingsGroup):
    port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Separate port for metrics, for workers and schedulers; 0: any free port, none: no "
        "separate port.",
    )
    host: str = Field(
        default="127.0.0.1",
        description="Address of the metrics port; anybody who reaches it can read the names of queues and "
        "nodes.",
    )


class ResourceSettings(SettingsGroup):
    strict: bool = Field(
        default=True, description="Refuse LoRAs and other additional networks that are not registered."
    )
    seed: bool = Field(
        default=True, description="Register the models that clients' samples use when the registry is empty."
    )


class CivitaiSettings(SettingsGroup):
    result_shape: Literal["object", "array"] = Field(
        default="object",
        description="Shape of result in the v1 API: an object, as the published clients read it, or an "
        "array, as Civitai sends today.",
    )


class CelerySettings(SettingsGroup):
    kill_after_s: ClassVar[float] = 60.0
    """Seconds past the soft limit after which a pool process is killed: enough to hand a job back."""
    prefetch: ClassVar[int] = 1
    """Wake-ups a slot may reserve: more would wait behind a render while another worker is idle."""
    token_s: ClassVar[float] = 10.0
    """Seconds for which one wake-up goes on claiming jobs: short enough to stop and to replace a process
    soon."""
    result_days: ClassVar[float] = 1.0
    """Days that results of generator_queue are kept."""

    soft_time_limit_s: float = Field(
        default=240.0,
        gt=10,
        description="Longest time in seconds for a Celery task: a render may take 10 s less, and 60 s "
        "later the pool process is killed and replaced.",
    )
    max_tasks_per_child: int = Field(
        default=50, ge=1, description="Tasks after which a pool process is replaced."
    )
    poll_s: float = Field(
        default=2.0,
        gt=0,
        description="Seconds between an idle worker's looks into the database, in case wake-ups are lost.",
    )
    result_url: SecretUrl | None = Field(
        default=None,
        description="Redis for results of the tasks of generator_queue, such as redis://host:6379/1; none: "
        "broker_url, if that is Redis.",
    )
    quorum_queues: bool = Field(default=False, description="Use quorum queues, on RabbitMQ.")
    events: bool = Field(
        default=False, description="Send task events for Flower; this costs several messages a task."
    )

    @property
    def time_limit_s(self) -> float:
        """Seconds after which a pool process is killed."""
        return self.soft_time_limit_s + self.kill_after_s


_REDIS = ("redis://", "rediss://")


def check_database_url(value: SecretUrl) -> SecretUrl:
    """Refuse an address that no driver of ours can read, before one is loaded."""
    scheme, separator, rest = value.get_secret_value().partition("://")
    if separator and scheme.partition("+")[0] not in ("sqlite", "postgres", "postgresql"):
        raise ValueError("should be sqlite:///path or postgresql://user@host/name")
    if not rest.startswith("/") and rest.count("@") > 1:
        raise ValueError("holds more than one @: write an @ in the user name or the password as %40")
    return value


def check_redis_url(value: SecretUrl) -> SecretUrl:
    if not value.get_secret_value().startswith(_REDIS):
        raise ValueError("should be redis://host:6379/0, or rediss:// for TLS")
    return value


def check_broker_url(value: SecretUrl) -> SecretUrl:
    if not value.get_secret_value().startswith((*_REDIS, "amqp://", "amqps://")):
        raise ValueError("should be redis://host:6379/0, rediss:// or amqp://user@host, amqps://")
    return value
