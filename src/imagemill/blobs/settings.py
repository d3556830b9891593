"""Settings of stored files: where they are stored, and for how long."""

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, SecretStr

from imagemill.domain.dataclass import dataclass
from imagemill.settings import JsonSetting, Mapped, SettingsGroup

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class RetentionDays:
    """Retention in seconds; None means as long as a job may need the files."""

    results_s: float | None = None
    inputs_s: float | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    default: RetentionDays = RetentionDays()
    owners: Mapping[str, RetentionDays] = field(default_factory=dict[str, RetentionDays])
    """Owners with a retention of their own."""

    def results_s(self, owner: str) -> float | None:
        """Seconds from the end of the job; None means as long as the job."""
        return self.owners.get(owner, self.default).results_s

    def inputs_s(self, owner: str | None) -> float | None:
        """Seconds from the last upload; ``owner`` is None where it is not known."""
        return (self.default if owner is None else self.owners.get(owner, self.default)).inputs_s

    @property
    def shortest_results_s(self) -> float | None:
        """Seconds before which no result is deleted; None means that results stay with their jobs."""
        known = [keep.results_s for keep in (self.default, *self.owners.values())]
        return min((seconds for seconds in known if seconds is not None), default=None)


def _address(value: str) -> str:
    if not value.startswith(("https://", "http://")) or "@" in value or "?" in value:
        raise ValueError("should be https://host, or http://host:port, without name, password or query")
    return value.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]


class OwnerDays(JsonSetting):
    """Null means that the owner's files have no limit of their own."""

    result_days: float | None = Field(default=None, gt=0)
    input_days: float | None = Field(default=None, gt=0)


class BlobSettings(SettingsGroup):
    patience_s: ClassVar[float] = 60.0
    """Seconds that a finished render waits for a blob store that does not answer, before it is given up."""

    result_days: float | None = Field(
        default=None,
        gt=0,
        description="Days after a job's end when its files are deleted, before the job itself; none: "
        "together with the job.",
    )
    input_days: float | None = Field(
        default=None,
        gt=0,
        description="Days after the last upload when a client's picture is deleted; none: with the last "
        "job that can use it.",
    )
    owners: Mapped[OwnerDays] = Field(
        default={},
        description="Other retention for single owners, as JSON: "
        '{"alice": {"result_days": 7, "input_days": null}}; fields left out are as for everybody.',
    )
    search_s: float = Field(
        default=3600.0,
        gt=0,
        description="Seconds between two listings of all files, which find expired and unreferenced ones.",
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


class S3Settings(SettingsGroup):
    timeout_s: ClassVar[float] = 30.0
    """Seconds for one request to the store, such as that for a part: 8 MiB at 3 Mbit/s."""
    retries: ClassVar[int] = 2
    """Repeats of a failed request, within `timeout_s`; later tries are the job's."""
    part_bytes: ClassVar[int] = 8 * 2**20
    """Size in bytes of the parts of an upload, used for files of more than two parts; S3 allows 5 MiB at
    least."""

    bucket: str | None = Field(
        default=None, min_length=1, description="Bucket that files are stored in; none: a folder in data_dir."
    )
    endpoint: Address | None = Field(
        default=None,
        description="Address of the store, such as https://storage.example:9000; none: Amazon S3 in region.",
    )
    public_endpoint: Address | None = Field(
        default=None,
        description="Address at which clients reach the store; none: the same as endpoint.",
    )
    r2_account_id: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{32}$",
        description="Cloudflare account of an R2 bucket, in place of endpoint; none: not R2.",
    )
    region: str = Field(
        default="us-east-1", min_length=1, description="Region of the store, which requests are signed for."
    )
    access_key_id: str | None = Field(
        default=None, description="Id of the access key; none: the role of the machine."
    )
    secret_access_key: SecretStr | None = Field(default=None, description="Secret of the access key.")
    session_token: SecretStr | None = Field(
        default=None, description="Session token of temporary keys; none: the keys are permanent."
    )
    prefix: str = Field(
        default="",
        pattern=r"^(?:[A-Za-z0-9_\-]+(?:/[A-Za-z0-9_\-]+)*/?)?$",
        description="Prefix of all names in the bucket, so that it can be shared, such as pictures/mill; "
        "empty: no prefix.",
    )
    path_style: bool = Field(
        default=True,
        description="Use addresses like https://endpoint/bucket/name, which all stores know; false: "
        "https://bucket.endpoint/name.",
    )
    verify_tls: bool = Field(default=True, description="Refuse a store whose certificate is not trusted.")
    ca_file: Path | None = Field(
        default=None,
        description="PEM file with certificates to trust besides the system's; none: only the system's.",
    )
    delivery: Literal["stream", "redirect"] = Field(
        default="stream",
        description="How clients get pictures: stream passes them through this server, redirect sends "
        "clients to the store.",
    )
    conditional_put: bool = Field(
        default=True,
        description="The store supports If-None-Match; false: existing files are looked up before a write.",
    )

    checksums: bool = Field(
        default=True, description="Send the SHA-256 of each upload for the store to verify."
    )

    @property
    def address(self) -> str | None:
        """The address of the store; None means Amazon S3."""
        if self.endpoint is None and self.r2_account_id is not None:
            return f"https://{self.r2_account_id}.r2.cloudflarestorage.com"
        return self.endpoint
