"""Settings of the press."""

from pydantic import Field

from imagemill.settings import SettingsGroup


class PressSettings(SettingsGroup):
    """Work on pages and documents on the CPU of workers that serve the queue `render`."""

    slots: int = Field(
        default=0,
        ge=0,
        le=256,
        description="Pages and documents that a worker process makes at once; 0 means one a core.",
    )
