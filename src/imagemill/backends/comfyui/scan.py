"""The search for ComfyUI servers on this machine, at their usual ports only."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from imagemill.backends.comfyui.client import NodeClient
from imagemill.backends.comfyui.errors import ComfyError
from imagemill.backends.comfyui.node import SystemStats, read_system_stats
from imagemill.domain.dataclass import dataclass
from imagemill.domain.nodes import NodeConfig

PORTS = (8188, 8189, 8190, 8191, 8000)
"""ComfyUI's own port, those of further servers beside it, and that of ComfyUI Desktop."""
_TIMEOUT_S = 2.0
"""A server of this machine answers within milliseconds, unless it loads a model."""


@dataclass(frozen=True, slots=True)
class FoundServer:
    url: str
    stats: SystemStats


def scan_loopback(ports: Sequence[int] = PORTS) -> list[FoundServer]:
    """Return the ComfyUI servers that answer at these ports of this machine, in their order."""
    with ThreadPoolExecutor(len(ports)) as pool:
        return [found for found in pool.map(_ask, ports) if found is not None]


def _ask(port: int) -> FoundServer | None:
    config = NodeConfig("scan", f"http://127.0.0.1:{port}")
    client = NodeClient(config, connect_s=_TIMEOUT_S, read_s=_TIMEOUT_S)
    try:
        return FoundServer(config.url, read_system_stats(client.system_stats()))
    except ComfyError:
        return None
    finally:
        client.close()
