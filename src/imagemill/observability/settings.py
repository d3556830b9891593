"""Settings of traces: the collector of spans, and the sampling ratio."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr

from imagemill.settings import SettingsGroup


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


class OtelSettings(SettingsGroup):
    timeout_s: ClassVar[float] = 5.0
    """Seconds for one export of spans, and for the last one at a stop."""

    endpoint: Annotated[str, AfterValidator(_http)] | None = Field(
        default=None,
        description="Collector that spans are exported to (OTLP over HTTP), such as http://127.0.0.1:4318; "
        "none: no tracing.",
    )
    headers: Annotated[SecretStr | None, AfterValidator(_pairs)] = Field(
        default=None,
        description="Headers sent to the collector, such as a token: name=value, comma-separated; none: no "
        "extra headers.",
    )
    ratio: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of traces that are exported, chosen by their ids; 0 exports none.",
    )
    service_name: str = Field(
        default="imagemill", min_length=1, description="Name of this installation in traces."
    )

    @property
    def given_headers(self) -> dict[str, str]:
        return _read(self.headers) if self.headers is not None else {}
