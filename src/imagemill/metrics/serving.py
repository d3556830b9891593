"""Metrics on a port of their own, for processes that answer no HTTP otherwise."""

from prometheus_client import CollectorRegistry, start_http_server

from imagemill.domain.errors import ImagemillError


class MetricsPortTaken(ImagemillError):
    code = "metrics_port_taken"


class Endpoint:
    """Serves from when it is made until it is closed. Raises `MetricsPortTaken`."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise MetricsPortTaken(
                f"IMAGEMILL_METRICS__PORT: {host} port {port} cannot be listened on: "
                f"{error.strerror or error}; each process needs a port of its own, 0 takes any free one"
            ) from error

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
