"""What a run costs: time by the clock, models in memory, and memory itself."""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from tests.comfyui.faults import Faults

STALL_LOOK_S = 0.01  # how often a stalled run looks whether it may go on


@dataclass(frozen=True)
class Costs:
    """Seconds of work, and megabytes of memory; `vram_mb` None never runs out."""

    work_s: float = 0.0  # of a prompt that is not all cached, in one piece, so that measuring it costs little
    step_s: float = 0.0  # of a sampler's step
    load_s: float = 0.0  # of bringing a model into memory
    vram_mb: int | None = None
    model_mb: int = 0
    megapixel_mb: int = 1000  # of a sampled megapixel
    resident_models: int = 1


@dataclass
class Machine:
    costs: Costs
    faults: Faults
    loads: list[str] = field(default_factory=list)
    resident: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _due: float = 0.0

    def start(self) -> None:
        self._due = time.perf_counter()

    async def spend(self, seconds: float) -> None:
        """Let work pass. Due times add up from the start, so late wake-ups do not."""
        while self.faults.stalled:
            await asyncio.sleep(STALL_LOOK_S)
            self._due = time.perf_counter()
        if not seconds:
            return
        self._due += seconds * self.faults.slowness
        await asyncio.sleep(max(0.0, self._due - time.perf_counter()))

    async def load(self, model: str) -> None:
        if model in self.resident:
            self.resident.move_to_end(model)
            return
        while len(self.resident) >= self.costs.resident_models:
            self.resident.popitem(last=False)
        self.loads.append(model)
        self.resident[model] = None
        await self.spend(self.costs.load_s)

    def unload(self) -> None:
        self.resident.clear()

    def overflows(self, megapixels: float) -> bool:
        needed = self.costs.model_mb + megapixels * self.costs.megapixel_mb
        return self.costs.vram_mb is not None and needed > self.costs.vram_mb

    @property
    def free_mb(self) -> int:
        return max(0, (self.costs.vram_mb or 0) - self.costs.model_mb * len(self.resident))
