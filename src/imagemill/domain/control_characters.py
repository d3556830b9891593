"""Characters that a terminal acts on instead of showing them. Texts of users must not bring them there."""

_DIRECTIONS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""They reverse the order in which the characters after them are shown."""
_LINES = (0x2028, 0x2029)
_ESCAPES = (
    {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
    | {10: "\\n", 13: "\\r", 9: "\\t"}
    | {code: f"\\u{code:04x}" for code in (*_DIRECTIONS, *_LINES)}
)
_IN_JSON = {code: f"\\u{code:04x}" for code in (*range(127, 160), *_DIRECTIONS, *_LINES)}


def escape_controls(text: str, *, keep: str = "") -> str:
    """Return the text with its control characters as visible escapes, except those in ``keep``."""
    if text.isprintable():
        return text
    if not keep:
        return text.translate(_ESCAPES)
    return text.translate({code: shown for code, shown in _ESCAPES.items() if chr(code) not in keep})


def escape_json(text: str) -> str:
    """Return JSON with the control characters escaped that its encoder leaves: those from 127 on."""
    return text.translate(_IN_JSON) if not text.isascii() or "\x7f" in text else text
