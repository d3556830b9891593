"""What a node has: asked by the claim for checkpoints and needs, by the submission for a refusal."""

import time
from collections.abc import Callable

from imagemill.domain import air
from imagemill.workflows.catalogue import Catalogue
from imagemill.workflows.errors import KIND_WORDS
from imagemill.workflows.needs import Need

PathOf = Callable[[str], str | None]
"""The file a checkpoint should have, by its AIR in lower case; None: unknown."""

REMEMBER_S = 30.0
"""How long a change of the registry may go unseen."""
_MOST = 4096
_FILE = "file:"
"""Before a checkpoint that a job names by its file, not by an AIR."""
_KINDS = {
    **dict.fromkeys(("lora", "lycoris", "dora"), "lora"),
    "vae": "vae",
    "embedding": "embedding",
    "hypernet": "hypernet",
    "controlnet": "controlnet",
    "upscaler": "upscaler",
}
"""What an AIR's type is called among needs."""


class Stock:
    """A container of AIRs in lower case, of checkpoint files, and of needs as they stand in a sentence."""

    def __init__(self, catalogue: Catalogue, path_of: PathOf) -> None:
        self.catalogue = catalogue
        self._path_of = path_of
        self._known: dict[str, bool] = {}
        self._needs: dict[Need, bool] = {}
        self._until = time.monotonic() + REMEMBER_S

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        now = time.monotonic()
        if now > self._until or len(self._known) > _MOST:
            self._known, self._until = {}, now + REMEMBER_S
        known = self._known.get(key)
        if known is None:
            need = self._need(key)
            known = self._known[key] = need is not None and self.meets(need)
        return known

    def meets(self, need: Need) -> bool:
        met = self._needs.get(need)
        if met is None:
            if len(self._needs) > _MOST:
                self._needs = {}
            met = self._needs[need] = need.met_by(self.catalogue)
        return met

    def _need(self, key: str) -> Need | None:
        for kind, word in KIND_WORDS.items():
            if key.startswith(f"{word} "):
                return Need(kind, key[len(word) + 1 :])
        if key.startswith(_FILE):
            return Need("checkpoint", key.removeprefix(_FILE))
        try:
            parsed = air.parse(key)
        except air.InvalidAir:
            return Need("checkpoint", self._path_of(key) or key)
        return Need(_KINDS.get(parsed.type or "", "checkpoint"), self._path_of(key) or parsed.path)
