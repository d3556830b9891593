"""What a dialect gives the server: routes, and the words of its callbacks."""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter

from imagemill.service.notify import Format
from imagemill.service.services import Services


@dataclass(frozen=True, slots=True)
class Dialect:
    name: str
    """Kept on each job that came in by it."""
    router: Callable[[Services], APIRouter]
    callback: Format
