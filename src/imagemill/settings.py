"""Groups of settings that have no module of their own; see `imagemill.config`."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


class SettingsGroup(BaseModel):
    """Settings that belong together; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AuthSettings(SettingsGroup):
    required: Literal["auto", "always"] = Field(
        default="auto",
        description="auto: on loopback nobody has to say who they are until the first key or user is made.",
    )
    admin_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="An administrator's key, for installations whose first key comes from a secret store.",
    )
    remember_s: float = Field(
        default=2.0,
        ge=0,
        le=60,
        description="A key revoked in another process is refused here after so long; seconds.",
    )
    sign_up: bool = Field(default=False, description="Anybody who reaches the server may make an account.")
    session_days: float = Field(
        default=30.0, gt=0, description="A login that is not refreshed for so long is over."
    )
    login_tries: int = Field(
        default=10, ge=1, description="Wrong passwords in login_window_s for one account from one address."
    )
    login_window_s: float = Field(default=900.0, gt=0, description="See login_tries.")
    password_threads: int = Field(default=2, ge=1, le=64, description="Passwords checked at once.")
    password_waiting: int = Field(
        default=16, ge=0, description="Logins that may wait for a thread; more get a 503 with Retry-After."
    )
    password_memory_mb: int = Field(
        default=64, ge=8, le=1024, description="Memory that hashing one password takes (argon2id)."
    )
    jwt_algorithm: Literal["HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA"] = Field(
        default="HS256", description="How tokens of logins are signed."
    )
    jwt_secret_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="Signs them, alike on all API machines: a secret, or a private key as PEM; "
        "none: a secret drawn into data_dir.",
    )
    jwt_former_keys: tuple[SecretStr, ...] = Field(
        default=(), description="Keys that signed before: tokens of theirs are read on."
    )
    jwt_expire_minutes: float = Field(
        default=10_080.0, gt=0, description="How long such a token is valid; a logout ends it at once."
    )


class MailSettings(SettingsGroup):
    smtp_host: str | None = Field(default=None, description="Who takes mail to reset passwords.")
    smtp_port: int = Field(default=587, ge=1, le=65535, description="Its port; 465 with tls.")
    smtp_tls: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="none only for a server on this machine."
    )
    smtp_user: str | None = Field(default=None, description="Name to log in there.")
    smtp_password: SecretStr | None = Field(default=None, description="Password to log in there.")
    timeout_s: float = Field(default=15.0, gt=0, description="Longest time one step with it may take.")
    sender: str = Field(default="imagemill@localhost", description="Whom mails come from.")
    folder: Path | None = Field(
        default=None, description="Write mails into files there instead, for development."
    )
    reset_url: str | None = Field(
        default=None,
        description="Page for a new password, such as https://app.example/reset?token={token}.",
    )


class CorsSettings(SettingsGroup):
    origins: tuple[str, ...] = Field(
        default=(),
        description="Other sites whose pages may call /api/v1, such as https://app.example; *: all.",
    )
    contract_origins: tuple[str, ...] = Field(default=("*",), description="The same for /v1, /v2 and /blobs.")


class JobSettings(SettingsGroup):
    life_s: float = Field(default=86_400, gt=0, description="A job not started by then expires; seconds.")
    timeout_s: float = Field(
        default=600, gt=0, description="Longest render of one attempt, unless the job says less."
    )
    max_failures: int = Field(default=5, ge=1, le=100, description="Tries of a job before it fails for good.")
    retry_base_s: float = Field(
        default=1.0, ge=0, description="Delay before the first retry; doubles each time."
    )
    retry_cap_s: float = Field(default=60.0, ge=0, description="Longest delay between two tries.")
    per_minute: int | None = Field(
        default=None,
        ge=1,
        description="Most jobs a process begins within a minute, over all its slots; none: any number.",
    )
    avoid_node_s: float = Field(
        default=60.0, ge=0, description="How long a failed job keeps off the node it failed on."
    )
    lease_s: float = Field(default=30.0, ge=1, description="A worker silent for so long has lost its job.")
    reattach_s: float = Field(
        default=30.0,
        ge=0,
        description="How long a lost worker's job is left to the ComfyUI node that may still render it.",
    )
    heartbeat_s: float = Field(
        default=1.0, gt=0, description="Progress and cancel wishes are exchanged this often."
    )
    affinity_bound_s: float = Field(
        default=150.0,
        ge=0,
        description="A job that is first in fair order and waits so long gets its model loaded; seconds.",
    )
    fair_horizon_s: float = Field(
        default=400.0,
        gt=0,
        description="So far behind in fair order a job counts a third; smaller: more loads. Seconds.",
    )
    load_s: float = Field(
        default=10.0, ge=0, description="Seconds a model's load is taken for where a node does not say."
    )
    retention_days: float = Field(
        default=30.0, gt=0, description="Finished jobs and their files are deleted after."
    )


class LimitSettings(SettingsGroup):
    body_bytes: int = Field(
        default=4 * 2**20, ge=1024, description="Largest request body; larger ones get a 413."
    )
    head_s: float = Field(
        default=10.0, gt=0, description="Longest time the head of a request may take to arrive."
    )
    body_s: float = Field(
        default=60.0, gt=0, description="Longest time its body may take; slower ones get a 408."
    )
    answer_s: float = Field(
        default=30.0,
        gt=0,
        description="A client that takes less than 64 KiB of an answer that waits for it in so long is cut.",
    )
    prompt_chars: int = Field(default=10_000, ge=1, description="Longest prompt or negative prompt.")
    jobs_per_request: int = Field(default=500, ge=1, description="Most jobs one request may create.")
    input_bytes: int = Field(
        default=32 * 2**20, ge=1024, description="Largest picture a client may bring or have fetched."
    )
    output_bytes: int = Field(default=2**30, ge=1024, description="Largest file a render may deliver.")
    fetch_s: float = Field(default=30.0, gt=0, description="Longest time the fetch of a picture may take.")
    image_pixels: int = Field(default=64 * 2**20, ge=1, description="Largest picture that is decoded.")
    image_side: int = Field(
        default=16_384, ge=1, description="Most pixels of a row or a column of a picture clients bring."
    )
    decode_s: float = Field(
        default=10.0, gt=0, description="A picture whose decoding takes longer is refused."
    )
    craft_s: float = Field(
        default=60.0, gt=0, description="Longest work on a finished picture: keying, trimming, encoding."
    )
    wait_s: float = Field(default=95.0, gt=0, le=600, description="Longest time a request with wait is held.")
    streams: int = Field(default=1000, ge=1, description="Most event streams and waiting requests at once.")


class SafetySettings(SettingsGroup):
    checks: tuple[str, ...] = Field(
        default=("words", "characters", "profanity"),
        description="Checks of prompts, in this order, comma-separated; before them always 'minors'.",
    )
    blocked_words: tuple[str, ...] = Field(
        default=(),
        description="Words and phrases check 'words' blocks, comma-separated; stem* is all that begin so.",
    )
    languages: tuple[str, ...] = Field(
        default=("english",), description="Lists of check 'profanity', such as english,spanish."
    )
    profanity: Literal["flag", "block"] = Field(
        default="flag", description="What becomes of a prompt with a word of these lists."
    )
    classifiers: tuple[str, ...] = Field(
        default=("nsfw",), description="Classifiers of finished pictures, in this order, comma-separated."
    )
    nsfw_model: Path | None = Field(
        default=None, description="ONNX file of classifier 'nsfw'; none: it does nothing."
    )
    nsfw_output: int = Field(default=1, ge=0, description="Which of the model's outputs is the score.")
    nsfw_flag: float = Field(default=0.5, ge=0, le=1, description="Pictures of this score are flagged.")
    nsfw_block: float = Field(
        default=0.85, ge=0, le=1, description="Pictures of this score are not kept; 1: only the very surest."
    )


class SocketSettings(SettingsGroup):
    ping_s: float = Field(
        default=20.0, gt=0, description="How often a WebSocket is pinged; below the time-outs of proxies."
    )
    pong_s: float = Field(
        default=20.0, gt=0, description="A client that answers no ping for so long is taken for gone."
    )
    slow_s: float = Field(
        default=10.0, gt=0, description="A client that reads nothing for so long is cut; it can resume."
    )
    message_bytes: int = Field(
        default=4096, ge=128, description="Largest message of a client, none of which has a meaning."
    )
    messages: int = Field(default=20, ge=1, description="Most messages of a client in ten seconds.")


class PriceSettings(SettingsGroup):
    """Credits a picture of a recipe."""

    base: float = Field(default=0.0, ge=0, le=1e6, allow_inf_nan=False)
    megapixel: float = Field(default=0.0, ge=0, le=1e6, allow_inf_nan=False)
    step: float = Field(default=0.0, ge=0, le=1e6, allow_inf_nan=False)
    megapixel_step: float = Field(default=0.0, ge=0, le=1e6, allow_inf_nan=False)
    minimum: float = Field(default=0.0, ge=0, le=1e6, allow_inf_nan=False)


Factor = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]


class CreditSettings(SettingsGroup):
    enabled: bool = Field(
        default=False, description="Jobs are paid for; otherwise their cost is shown and nobody pays."
    )
    prices: dict[str, PriceSettings] = Field(
        default={},
        description="By recipe, in place of its own price, as JSON: credits for base, megapixel, step, "
        "megapixel_step, and a minimum, a picture.",
    )
    backends: dict[str, Factor] = Field(
        default={}, description='What prices are multiplied by, as JSON: {"comfyui": 1.5}.'
    )


Count = Annotated[int, Field(ge=0)]


class QuotaSettings(SettingsGroup):
    enabled: bool = Field(default=False, description="Owners are held to the limits below and their own.")
    requests_per_minute: int | None = Field(
        default=None, ge=0, description="Of an account with its end users; none: any number."
    )
    jobs_in_flight: int | None = Field(
        default=None, ge=0, description="Waiting, queued and running, of an account with its end users."
    )
    megapixels_per_day: float | None = Field(
        default=None, ge=0, description="Of pictures asked for, by days in UTC, of an account."
    )
    cooldown_s: dict[str, Factor] = Field(
        default={}, description='Seconds between an account\'s submits of a recipe, as JSON: {"comfy": 10}.'
    )
    jobs_per_day: dict[str, Count] = Field(
        default={}, description='Jobs of a recipe by days in UTC, as JSON: {"scene": 200}.'
    )
    user_requests_per_minute: int | None = Field(
        default=None, ge=0, description="Of an end user of an account."
    )
    user_jobs_in_flight: int | None = Field(default=None, ge=0, description="Of an end user of an account.")
    user_megapixels_per_day: float | None = Field(
        default=None, ge=0, description="Of an end user of an account."
    )
    user_cooldown_s: dict[str, Factor] = Field(default={}, description="Of an end user of an account.")
    user_jobs_per_day: dict[str, Count] = Field(default={}, description="Of an end user of an account.")
    roles: tuple[Literal["user", "operator", "admin"], ...] = Field(
        default=("user",), description="Whom they hold; limits of an owner's own hold for every role."
    )
    most_jobs: int | None = Field(
        default=None, ge=1, description="Open jobs of all owners together; none: any number."
    )
    refuse_late: bool = Field(
        default=True, description="Refuse jobs that would expire before their turn in the queue."
    )


class CallbackSettings(SettingsGroup):
    timeout_s: float = Field(default=10.0, gt=0, description="Longest time one delivery may take.")
    tries: int = Field(default=20, ge=1, description="Deliveries are tried this often, over about a day.")
    retry_base_s: float = Field(
        default=5.0, gt=0, description="Delay before the second try; doubles each time."
    )
    retry_cap_s: float = Field(default=4 * 3600.0, gt=0, description="Longest delay between two tries.")


class WebhookSettings(SettingsGroup):
    endpoints: int = Field(default=10, ge=1, le=1000, description="Most endpoints of an owner.")
    timeout_s: float = Field(
        default=10.0,
        gt=0,
        le=60,
        description="Longest time one delivery may take, from the look-up of the name on.",
    )
    tries: int = Field(default=20, ge=1, description="A message is tried this often, over about a day.")
    retry_base_s: float = Field(
        default=5.0, gt=0, description="Delay before the second try; doubles each time."
    )
    retry_cap_s: float = Field(default=4 * 3600.0, gt=0, description="Longest delay between two tries.")
    pause_after_s: float = Field(
        default=86_400.0, gt=0, description="A receiver that takes nothing for so long is paused."
    )
    rotation_s: float = Field(
        default=86_400.0, ge=0, description="A secret that was replaced still signs for so long."
    )
    retention_days: float = Field(
        default=14.0, gt=0, description="Messages and their attempts are deleted after, delivered or not."
    )


class MetricsSettings(SettingsGroup):
    port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port of its own for metrics, for workers and schedulers; 0: any free, none: no port.",
    )
    host: str = Field(
        default="127.0.0.1",
        description="Address of that port; whoever reaches it may read the names of queues and nodes.",
    )


class ResourceSettings(SettingsGroup):
    strict: bool = Field(
        default=True, description="Additional networks must be registered, like checkpoints."
    )
    seed: bool = Field(
        default=True, description="Fill an empty registry with the models that clients' samples use."
    )


class CivitaiSettings(SettingsGroup):
    result_shape: Literal["object", "array"] = Field(
        default="object",
        description="v1 'result': an object as the published clients read it, or today's array.",
    )


class CelerySettings(SettingsGroup):
    soft_time_limit_s: float = Field(
        default=240.0,
        gt=0,
        description="Longest run of a Celery task; a render may take so long less token_s.",
    )
    time_limit_s: float = Field(
        default=300.0, gt=0, description="A pool process whose task takes longer is killed and replaced."
    )
    token_s: float = Field(
        default=10.0, ge=0, description="How long one wake-up goes on claiming jobs before it ends."
    )
    max_tasks_per_child: int = Field(
        default=50, ge=1, description="A pool process is replaced after so many tasks."
    )
    prefetch: int = Field(default=1, ge=1, description="Wake-ups a slot may reserve.")
    poll_s: float = Field(
        default=2.0, gt=0, description="How often an idle worker looks by itself, should wake-ups be lost."
    )
    result_url: str | None = Field(
        default=None,
        description="Where results of the tasks of generator_queue go, such as redis://host:6379/1; "
        "none: to broker_url, if that is Redis.",
    )
    result_days: float = Field(default=1.0, gt=0, description="How long such a result is kept.")
    quorum_queues: bool = Field(default=False, description="Quorum queues, on RabbitMQ.")
    events: bool = Field(
        default=False, description="Send task events for Flower; costs several messages a task."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.token_s < self.soft_time_limit_s < self.time_limit_s:
            raise ValueError("token_s, soft_time_limit_s and time_limit_s should rise in this order")
        return self
