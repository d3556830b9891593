"""Settings of file storage: where files are stored, and how long they are kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class RetentionDays:
    """Seconds for which files are kept. None keeps a file as long as a job may need it."""

    results_s: float | None = None
    inputs_s: float | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    default: RetentionDays = RetentionDays()
    owners: Mapping[str, RetentionDays] = field(default_factory=dict[str, RetentionDays])
    """Exceptions by owner."""

    def results_s(self, owner: str) -> float | None:
        """Seconds that the owner's results are kept after the end of the job."""
        return self.owners.get(owner, self.default).results_s

    def inputs_s(self, owner: str | None) -> float | None:
        """Seconds that input pictures are kept after they were last uploaded. ``owner`` None means
        unknown."""
        return (self.default if owner is None else self.owners.get(owner, self.default)).inputs_s

    @property
    def shortest_results_s(self) -> float | None:
        """Seconds before which no result is deleted; None means that none ever is."""
        known = [keep.results_s for keep in (self.default, *self.owners.values())]
        return min((seconds for seconds in known if seconds is not None), default=None)


def _address(value: str) -> str:
    if not value.startswith(("https://", "http://")) or "@" in value or "?" in value:
        raise ValueError("should be https://host, or http://host:port, without name, password or query")
    return value.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]


class OwnerDays(BaseModel):
    """Retention of one owner, in days; null keeps the files as long as the job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    result_days: float | None = Field(default=None, gt=0)
    input_days: float | None = Field(default=None, gt=0)


class BlobSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    patience_s: float = Field(
        default=60.0,
        ge=0,
        description="How long a finished render waits for a store that is away, before it is given up.",
    )
    result_days: float | None = Field(
        default=None,
        gt=0,
        description="Files of finished jobs are deleted so long after their end, the job then says that they "
        "are gone; none: with the job.",
    )
    input_days: float | None = Field(
        default=None,
        gt=0,
        description="Pictures clients brought are deleted so long after they were last brought; "
        "none: when the last job they can belong to is deleted.",
    )
    owners: dict[str, OwnerDays] = Field(
        default={},
        description="Owners for whom it is otherwise, as JSON: "
        '{"alice": {"result_days": 7, "input_days": null}}; what is left out is as for all.',
    )
    search_s: float = Field(
        default=3600.0,
        gt=0,
        description="How often all files are listed, to delete those whose time is over and what no job "
        "refers to.",
    )

    @property
    def retention(self) -> Retention:
        default = {"result_days": self.result_days, "input_days": self.input_days}
        return Retention(
            _keep(default),
            {
                owner: _keep({**default, **days.model_dump(exclude_unset=True)})
                for owner, days in self.owners.items()
            },
        )


def _keep(days: dict[str, float | None]) -> RetentionDays:
    results, inputs = days["result_days"], days["input_days"]
    return RetentionDays(results and results * _DAY_S, inputs and inputs * _DAY_S)


class S3Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: str | None = Field(
        default=None, min_length=1, description="Where the files lie; none: in a folder of data_dir."
    )
    endpoint: Address | None = Field(
        default=None,
        description="Address of the store, such as https://storage.example:9000; none: Amazon's, by region.",
    )
    public_endpoint: Address | None = Field(
        default=None, description="Address by which clients reach the store, when it is another."
    )
    r2_account_id: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{32}$", description="Cloudflare account, in place of an endpoint."
    )
    region: str = Field(default="us-east-1", min_length=1, description="Region that requests are signed for.")
    access_key_id: str | None = Field(
        default=None, description="Name of the key; none: the role of the machine."
    )
    secret_access_key: SecretStr | None = Field(default=None, description="The key's secret.")
    session_token: SecretStr | None = Field(default=None, description="Of temporary keys.")
    prefix: str = Field(
        default="",
        pattern=r"^(?:[A-Za-z0-9_\-]+(?:/[A-Za-z0-9_\-]+)*/?)?$",
        description="Begins every name in the bucket, so that it can be shared: pictures/mill.",
    )
    path_style: bool = Field(
        default=True,
        description="Ask for https://endpoint/bucket/name, which all stores know; "
        "else https://bucket.endpoint/name.",
    )
    verify_tls: bool = Field(default=True, description="Refuse a store whose certificate is not trusted.")
    ca_file: Path | None = Field(
        default=None, description="PEM file of certificates to trust besides the usual ones."
    )
    delivery: Literal["stream", "redirect"] = Field(
        default="stream",
        description="Pictures pass through this server, or clients are sent to the store.",
    )
    timeout_s: float = Field(
        default=30.0, gt=0, description="Longest time of one request to the store, such as that for a part."
    )
    retries: int = Field(
        default=2, ge=0, le=10, description="A request that failed is made again so often, within timeout_s."
    )
    part_bytes: int = Field(
        default=8 * 2**20,
        ge=5 * 2**20,
        description="Files of more than two parts are sent in parts of this size.",
    )
    conditional_put: bool = Field(
        default=True,
        description="The store knows If-None-Match; else what lies there is looked up before a write.",
    )

    checksums: bool = Field(
        default=True, description="Send the SHA-256 of each upload, for the store to verify."
    )

    @property
    def address(self) -> str | None:
        """The URL of the store; None means Amazon's."""
        if self.endpoint is None and self.r2_account_id is not None:
            return f"https://{self.r2_account_id}.r2.cloudflarestorage.com"
        return self.endpoint
