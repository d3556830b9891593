"""Bodies of the API, made from the server's document by tools/client_models.py: do not edit."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class ArtifactBody(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    id: str
    media_type: Annotated[str, Field(alias="mediaType")]
    size: Annotated[int, Field(description="Bytes.")]
    width: Annotated[int, Field(description="Pixels; 0 where the file is no picture.")]
    height: int
    sha256: str
    seed: int | None
    available: Annotated[bool, Field(description="False once the retention is over.")]
    url: Annotated[
        str | None,
        Field(description="Where it can be fetched without a key, for a limited time."),
    ]


class JobError(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    code: str
    message: str
    advice: Annotated[str, Field(description="What to do about it.")]


class LastEvent(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    seq: int
    type: str


class PricedJob(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    recipe: str
    cost: float


class Problem(BaseModel):
    """
    An error of a request (RFC 9457).
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    type: Annotated[
        str,
        Field(description="`urn:imagemill:problem:` and a code that does not change."),
    ]
    title: Annotated[str, Field(description="The name of the status.")]
    status: int
    detail: Annotated[str, Field(description="A sentence that says what is wrong and what to do.")]
    trace_id: Annotated[
        str,
        Field(alias="traceId", description="Finds the request in the server's log."),
    ]
    errors: Annotated[
        dict[str, list[str]] | None,
        Field(description="What is wrong with each field, by its path."),
    ] = {}
    needed: Annotated[float | None, Field(description="For 402: the credits that are needed.")] = None
    available: Annotated[float | None, Field(description="For 402: the credits that are available.")] = None


class ProgressBody(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    step: int
    total: int
    progress: Annotated[float, Field(description="0 to 1.")]
    note: str
    preview: Annotated[str | None, Field(description="A data URL of the picture so far.")] = None


class SafetyBody(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    rewritten: Annotated[bool, Field(description="A check has changed the prompt.")]
    flags: list[str]


class Upload(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    key: Annotated[str, Field(description="Names the picture in jobs, wherever they take one.")]
    url: Annotated[
        str,
        Field(description="Where it can be fetched without a key, for a limited time."),
    ]
    url_expires_at: Annotated[AwareDatetime | None, Field(alias="urlExpiresAt")]
    width: Annotated[int, Field(description="Pixels.")]
    height: int
    media_type: Annotated[str, Field(alias="mediaType")]


class Estimate(BaseModel):
    """
    The answer to ``whatif``; nothing is stored.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    cost: Annotated[float, Field(description="Credits.")]
    jobs: list[PricedJob]
    charged: Annotated[bool, Field(description="Jobs are paid for on this server.")]
    available: Annotated[
        float | None,
        Field(description="The credits there are, where jobs are charged."),
    ] = None
    affordable: Annotated[
        bool | None,
        Field(description="Whether the credits suffice, where jobs are charged."),
    ] = None
    provider_dollars: Annotated[
        dict[str, float | None] | None,
        Field(
            alias="providerDollars",
            description="Dollars that a paid provider would bill for all of them; null where it is unknown.",
        ),
    ] = {}


class EventBody(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    seq: Annotated[int, Field(description="Position in the job's log, from 1.")]
    type: str
    at: AwareDatetime
    attempt: int
    data: dict[str, Any]


class JobBody(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    id: str
    owner: str
    batch: Annotated[str, Field(description="Jobs of one submission have the same.")]
    name: str | None
    recipe: str
    status: Literal["waiting", "queued", "running", "succeeded", "failed", "canceled", "expired"]
    queue: str
    priority: int
    cost: Annotated[float, Field(description="Credits.")]
    attempt: Annotated[int, Field(description="0 before the first attempt.")]
    failures: int
    max_failures: Annotated[int, Field(alias="maxFailures")]
    node: str | None
    worker: str | None
    simulated: Annotated[
        bool,
        Field(description="The pictures are drawn by the simulator, not by a model."),
    ]
    reason: Annotated[str | None, Field(description="Why the job was cancelled or waits for a retry.")]
    cancel_requested: Annotated[bool, Field(alias="cancelRequested")]
    replays: Annotated[int, Field(description="How often the job was submitted again.")]
    replay_of: Annotated[
        str | None,
        Field(alias="replayOf", description="Id of the job that this one repeats."),
    ]
    trace: Annotated[str, Field(description="W3C trace context.")]
    input: Annotated[dict[str, Any], Field(description="The recipe's input, completed.")]
    properties: dict[str, Any]
    error: JobError | None
    created_at: Annotated[AwareDatetime, Field(alias="createdAt")]
    started_at: Annotated[
        AwareDatetime | None,
        Field(alias="startedAt", description="Start of the latest attempt."),
    ]
    finished_at: Annotated[AwareDatetime | None, Field(alias="finishedAt")]
    expires_at: Annotated[
        AwareDatetime,
        Field(
            alias="expiresAt",
            description="When the job expires unless it has finished.",
        ),
    ]
    retry_at: Annotated[AwareDatetime | None, Field(alias="retryAt")]
    last_event: Annotated[LastEvent, Field(alias="lastEvent")]
    artifacts: list[ArtifactBody]
    output: Annotated[
        dict[str, Any] | None,
        Field(description="The values that a task without a picture has made, once it has succeeded."),
    ] = None
    safety: Annotated[
        SafetyBody | None,
        Field(description="Present where a check flagged or rewrote something."),
    ] = None
    waits: Annotated[str | None, Field(description="Why a queued job does not run yet.")] = None
    progress: Annotated[ProgressBody | None, Field(description="Present while the job runs.")] = None


class JobPage(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    items: list[JobBody]
    next: Annotated[
        str | None,
        Field(
            description="The `cursor` of the next page; null on the last. A page may have few jobs, or none, and a next one: a request reads a bounded number of jobs."
        ),
    ]
    searched_to: Annotated[
        AwareDatetime | None,
        Field(
            alias="searchedTo",
            description="Set on such a page: when the last job was submitted that was compared with the filter.",
        ),
    ]
