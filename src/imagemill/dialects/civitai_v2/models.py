"""The models of v2's answers, for the OpenAPI document and for the tests of every answer."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from imagemill.web.routing import ResponseModel

Status = Literal[
    "unassigned", "preparing", "scheduled", "processing", "succeeded", "failed", "expired", "canceled"
]
Support = Literal["unsupported", "unavailable", "available"]


class StrictAnswer(ResponseModel):
    model_config = ConfigDict(
        extra="forbid", alias_generator=to_camel, serialize_by_alias=True, populate_by_name=True
    )


class CostTips(StrictAnswer):
    civitai: int
    creators: int


class WorkflowCost(StrictAnswer):
    base: int = Field(description="Credits of all jobs, rounded up.")
    factors: dict[str, float] = {}
    fixed: dict[str, int] = {}
    fees: dict[str, float] = {}
    tips: CostTips
    variable: bool = False
    total: int


class Transaction(StrictAnswer):
    type: Literal["debit", "credit"]
    amount: int
    id: str | None = None
    account_type: str


class Transactions(StrictAnswer):
    list: list[Transaction]
    insufficient_buzz: bool | None = None


class JobQueuePosition(StrictAnswer):
    support: Support
    preceding_jobs: int | None = None
    start_at: str | None = None
    complete_at: str | None = None


class StepQueuePosition(StrictAnswer):
    support: Support
    preceding_jobs: int | None = None
    estimated_start_at: str | None = None
    estimated_complete_at: str | None = None


class StepPreparation(StrictAnswer):
    resource: str = Field(description="The AIR of the model that a node is loading.")
    queue_position: int
    progress: float | None = None
    eta_seconds: float | None = None


class WorkflowStepJob(StrictAnswer):
    id: str
    status: Status
    cost: float
    started_at: str | None = None
    completed_at: str | None = None
    queue_position: JobQueuePosition | None = None
    estimated_progress_rate: float | None = None
    reason: str | None = None
    blocked_reason: str | None = None


class WorkflowStep(StrictAnswer):
    type: str = Field(alias="$type")
    name: str
    priority: Literal["high", "normal", "low"]
    status: Status
    metadata: dict[str, Any]
    input: Any = Field(description="As it was sent, with defaults; references are replaced once they exist.")
    output: Any = Field(None, description="Absent until there is one; its fields depend on the type.")
    jobs: list[WorkflowStepJob]
    timeout: str | None = None
    retries: int | None = None
    started_at: str | None = None
    completed_at: str | None = None
    estimated_progress_rate: float | None = None
    preparation: StepPreparation | None = None
    queue_position: StepQueuePosition | None = None


class WorkflowCallback(StrictAnswer):
    url: str
    type: list[str]
    detailed: bool = False


class WorkflowTips(StrictAnswer):
    civitai: float = 0
    creators: float = 0


class WorkflowAnswer(StrictAnswer):
    id: str | None = Field(None, description="Absent in the answer to `whatif=true`.")
    created_at: str
    started_at: str | None = None
    completed_at: str | None = None
    transactions: Transactions
    metadata: dict[str, Any]
    status: Status
    tags: list[str]
    arguments: dict[str, Any]
    steps: list[WorkflowStep]
    callbacks: list[WorkflowCallback]
    tips: WorkflowTips
    cost: WorkflowCost
    upgrade_mode: Literal["manual", "automatic"]
    currencies: list[str]
    force_refunded: bool
    nsfw_level: str | None = None
    experimental: bool | None = None
    allow_mature_content: bool | None = None
    ephemeral: bool | None = None
    external_id: str | None = None


class WorkflowPage(StrictAnswer):
    next: str | None = Field(description="The cursor of the next page; null at the end.")
    items: list[WorkflowAnswer]


class StepOutput(BaseModel):
    """The output of a step. Its fields depend on the type of the step."""

    model_config = ConfigDict(extra="allow")

    images: list[dict[str, Any]] | None = Field(None, description="Blobs of textToImage and imageGen.")
    blobs: list[dict[str, Any]] | None = Field(None, description="Blobs of comfy.")
    blob: dict[str, Any] | None = Field(None, description="The blob of a step that makes one file.")
    errors: list[str] | None = Field(None, description="The reasons why jobs failed, in sentences.")
