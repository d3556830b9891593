"""The console of commands: texts of users reach the terminal without its control characters."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from imagemill.domain.control_characters import escape_controls

_KEPT = "\n\t"


class SafeConsole(Console):
    """Escapes control characters, so that no name or prompt of a user can move the cursor, set the title or
    hide text of the operator's terminal. Rich removes a few of them only."""

    def render_str(self, text: str, **options: Any) -> Text:
        # Before the text is measured, so that columns are wide enough.
        return super().render_str(escape_controls(text, keep=_KEPT), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            # Rich's own controls, such as those of progress bars, are segments of another kind.
            text = segment.text if segment.control else escape_controls(segment.text, keep=_KEPT)
            yield segment if text == segment.text else Segment(text, segment.style)
