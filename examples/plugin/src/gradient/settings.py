from pydantic import Field

from imagemill.settings import SettingsGroup


class GradientSettings(SettingsGroup):
    """Gradients."""

    slots: int = Field(default=2, ge=0, le=64, description="Gradients at a time; 0 disables the backend.")
