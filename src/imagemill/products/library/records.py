"""The record that a fashion model leaves besides its job, written in the transaction of its success."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from imagemill.domain.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class LibraryEntry:
    """A success becomes the next version of its template in the model library."""

    template_id: str
    gender: str
    age_range: str
    body_type: str
    pose: str
    style: str
    prompt: str
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
