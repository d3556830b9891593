"""A fake of what connects to ComfyUI nodes, for tests of what administers them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from imagemill.bootstrap.application import Application
from imagemill.domain.nodes import Finding, Level, NodeConfig, NodeReport
from imagemill.nodes.registry import NodeRegistry

STATIC = NodeConfig("fixed", "http://fixed.example:8188", headers={"X-Key": "s3cret-of-settings"})


class FakeNodes:
    """Every node is well, except those whose name begins with ``sick``."""

    def __init__(self) -> None:
        self.configured: list[tuple[NodeConfig, ...]] = []
        self.seen_at = 1_800_000_000_000_000

    def configure(self, nodes: Sequence[NodeConfig]) -> None:
        self.configured.append(tuple(nodes))

    @property
    def now(self) -> dict[str, NodeConfig]:
        return {config.name: config for config in self.configured[-1]} if self.configured else {}

    def reports(self) -> Sequence[NodeReport]:
        return [self._report(config) for config in self.now.values()]

    def examine(self, name: str) -> Iterator[Finding]:
        yield Finding(Level.OK, "address", f"{self.now[name].url} answers in 3 ms")
        if name.startswith("sick"):
            yield Finding(Level.ERROR, "socket", "is refused; let the proxy pass WebSockets")
        else:
            yield Finding(Level.WARNING, "models", "there is no LoRA")

    def _report(self, config: NodeConfig) -> NodeReport:
        well = NodeReport(
            config.name,
            config.url,
            healthy=True,
            draining=config.draining,
            version="0.33.0",
            memory_mb=24_576,
            memory_free_mb=10_240,
            checkpoints=12,
            running=1,
            loaded_models=("sdxl/base.safetensors",),
            seen_at=self.seen_at,
        )
        if config.name.startswith("sick"):
            return replace(well, healthy=False, problem="nobody answers at its address", running=0)
        return well


def with_nodes(app: Application, *static: NodeConfig, backend: FakeNodes | None = None) -> FakeNodes:
    """Put the fake into a process that has not started."""
    fake = backend or FakeNodes()
    app.nodes = NodeRegistry(app.stores.nodes, static, fake)
    app.services = replace(app.services, nodes=app.nodes)
    return fake
