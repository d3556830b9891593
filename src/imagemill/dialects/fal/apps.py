"""The apps of this server, by the names that fal's clients call them by."""

from collections.abc import Mapping
from dataclasses import dataclass

from imagemill.domain.errors import NotFound
from imagemill.fal_api import AppSettings


@dataclass(frozen=True, slots=True)
class App:
    name: str
    """``owner/alias``: what the addresses of its requests name."""
    path: str
    """What follows in the address of a submission; may be empty."""
    settings: AppSettings

    @property
    def whole(self) -> str:
        return f"{self.name}/{self.path}" if self.path else self.name


class Apps:
    def __init__(self, offered: Mapping[str, AppSettings]) -> None:
        self._apps = {name: _app(name, settings) for name, settings in offered.items()}

    def find(self, owner: str, alias: str, path: str = "") -> App:
        """Raises `NotFound` with what there is."""
        name = "/".join([owner, alias, *filter(None, [path.strip("/")])]).lower()
        if (app := self._apps.get(name)) is None:
            raise NotFound(f"there is no app {name[:200]!r} here; there are {', '.join(sorted(self._apps))}")
        return app


def _app(name: str, settings: AppSettings) -> App:
    owner, alias, *path = name.split("/")
    return App(f"{owner}/{alias}", "/".join(path), settings)
