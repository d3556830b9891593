"""Settings of traces: the collector of spans, and the sampling ratio."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr


def _http(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("should be the URL of an OTLP collector over HTTP: http://host:4318 or https://host")
    return value


def _pairs(value: SecretStr | None) -> SecretStr | None:
    if value is not None:
        _read(value)
    return value


def _read(value: SecretStr) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in value.get_secret_value().split(",") if pair.strip()]
    if any(not name.strip() or not separator for name, separator, _ in pairs):
        raise ValueError("should be name=value pairs, separated by commas")
    return {name.strip().lower(): text.strip() for name, _, text in pairs}


class OtelSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: Annotated[str, AfterValidator(_http)] | None = Field(
        default=None,
        description=(
            "URL of the span collector (OTLP over HTTP), such as http://127.0.0.1:4318; unset: no traces."
        ),
    )
    headers: Annotated[SecretStr | None, AfterValidator(_pairs)] = Field(
        default=None,
        description="HTTP headers for the collector, such as a token: name=value, separated by commas.",
    )
    ratio: float = Field(
        default=1.0, ge=0, le=1, description="Share of traces that are exported, chosen by their ids."
    )
    service_name: str = Field(
        default="imagemill", min_length=1, description="Service name of this installation in traces."
    )
    timeout_s: float = Field(
        default=5.0,
        gt=0,
        description="Timeout of an export in seconds; also the longest wait for the last one at shutdown.",
    )

    @property
    def given_headers(self) -> dict[str, str]:
        return _read(self.headers) if self.headers is not None else {}
