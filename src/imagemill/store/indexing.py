"""The client's own index: a row for each property of a job, found by exact value."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from imagemill.domain.jobs import Draft
from imagemill.store.rows import dump

MAX_KEY = 200
_MAX_VALUE = 200


def property_rows(draft: Draft) -> Iterator[Mapping[str, str]]:
    for key, value in draft.properties.items():
        yield {"job_id": draft.id, "key": key, "value": index_value(value)}


def index_value(value: Any) -> str:
    """Equal JSON values, equal text; a long one by its digest."""
    text = dump(_sorted(value))
    return text if len(text) <= _MAX_VALUE else "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - any JSON
    if isinstance(value, list):
        return [_sorted(item) for item in value]  # pyright: ignore[reportUnknownVariableType] - any JSON
    return value
