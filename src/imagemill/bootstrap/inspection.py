"""The checks and the settings of a process as its routes show them, with heavy imports at the first call."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from imagemill.config import Settings
from imagemill.domain.nodes import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagemill.bootstrap.settings_reference import Setting


def diagnose(settings: Settings) -> Iterator[Finding]:
    """Yield the findings of `imagemill doctor`."""
    from imagemill.bootstrap import doctor_checks

    return doctor_checks.run_checks(doctor_checks.list_checks(settings))


def settings_in_use(settings: Settings) -> "Sequence[Setting]":
    """Return all settings of this process; those that no other source has set are from the command line."""
    from imagemill.bootstrap import settings_reference

    found = settings_reference.current(settings, {})
    return [
        replace(each, source="command line", is_changed=True)
        if each.source == "default" and each.value != each.default
        else each
        for each in found
    ]
