"""The model registry's rows: what is known of a checkpoint, a LoRA, ..."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imagemill.domain.air import Air


@dataclass(frozen=True, slots=True)
class Resource:
    air: Air
    """As its owner spelled it; compared without case."""
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The wire fields of the resource, without the AIR: names, tags, hashes, fileName, ..."""
    created_at: int = 0
    updated_at: int = 0

    @property
    def path(self) -> str:
        """The file a node should have it in."""
        return self.body.get("fileName") or self.air.path

    @property
    def search_text(self) -> str:
        """Lower case; what a search for a word looks through."""
        names = [str(self.body.get(name) or "") for name in ("modelName", "versionName", "fileName")]
        return "\n".join([str(self.air), *names, *map(str, self.body.get("tags") or ())]).lower()
