"""Errors as the clients of characters read them: a code in capitals, a sentence, the fields."""

from collections.abc import Mapping
from typing import Any

_CODES = {"rate_limited": "RATE_LIMIT_EXCEEDED", "unauthenticated": "UNAUTHORIZED"}
_OF_PROBLEMS = frozenset({"type", "title", "status", "detail", "code"})


def words(problem: Mapping[str, Any]) -> Mapping[str, Any]:
    """With ``errors`` by field, and of credits what is ``needed`` and ``available``."""
    more = {name: value for name, value in problem.items() if name not in _OF_PROBLEMS}
    code = str(problem["code"])
    return {
        "success": False,
        "code": _CODES.get(code, code.upper()),
        "message": problem["detail"],
        **more,
    }
