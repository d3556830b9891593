"""Open the tracer that the settings ask for."""

from collections.abc import Mapping

from imagemill.domain.errors import ImagemillError
from imagemill.tracing.history import Log
from imagemill.tracing.settings import OtelSettings
from imagemill.tracing.tracer import Tracer


class MissingOtel(ImagemillError):
    code = "missing_extra"


def open_tracer(settings: OtelSettings, resource: Mapping[str, str], store: Log) -> Tracer | None:
    """None without an endpoint. ``resource``: what tells this process from others. Connects nothing yet."""
    if settings.endpoint is None:
        return None
    try:
        from imagemill.tracing.exporting import Otlp
    except ModuleNotFoundError as error:
        raise MissingOtel(
            f"{error.name} is not installed; IMAGEMILL_OTEL__ENDPOINT needs: pip install 'imagemill[otel]'"
        ) from error
    named = {"service.name": settings.service_name, **resource}
    out = Otlp(settings.endpoint, settings.given_headers, named, settings.timeout_s)
    return Tracer(out, settings.ratio, store)
