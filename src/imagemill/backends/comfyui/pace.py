"""How long a render may take on a node: by its steps and pixels, and by what they took there before."""

import threading
from collections import OrderedDict

from imagemill.backends.comfyui.settings import ComfySettings

_FORGET = 0.9
"""An old measurement fades by this with each new one, so that one slow render is not believed for ever."""
_MODELS = 256
_SHORTEST_S = 0.001


class Pace:
    """Seconds for a unit of load (step x megapixel) of each model, the slowest of late."""

    def __init__(self, settings: ComfySettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._units: OrderedDict[str, float] = OrderedDict()

    def learn(self, model: str, load: float, seconds: float) -> None:
        unit = max(_SHORTEST_S, seconds) / load
        with self._lock:
            self._units[model] = max(unit, _FORGET * self._units.get(model, 0.0))
            self._units.move_to_end(model)
            if len(self._units) > _MODELS:
                self._units.popitem(last=False)

    def limit_s(self, model: str, load: float, longest_s: float) -> float:
        """Once it runs. ``longest_s`` where this node has not rendered with the model yet."""
        unit = self._units.get(model)
        if unit is None:
            return longest_s
        expected_s = self._settings.timeout_factor * unit * load
        return min(longest_s, max(self._settings.timeout_floor_s, self._settings.load_s + expected_s))
