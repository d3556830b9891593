"""JSON Patch (RFC 6902) on what clients may change of a workflow: status, metadata, tags."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, cast

from imagemill.dialects.civitai_v2.schemas import MOST_TAGS, PatchOperation
from imagemill.domain.errors import InvalidInput
from imagemill.jobs.store.batches import BatchRecord

MOST = 100
"""Operations of one patch."""


def workflow_part(record: BatchRecord, status: str) -> dict[str, Any]:
    """Return the part of a workflow that a patch may change."""
    return {"metadata": record.notes.get("metadata", {}), "tags": list(record.tags), "status": status}


def apply(document: Mapping[str, Any], operations: Sequence[PatchOperation]) -> dict[str, Any]:
    """Return the document with all operations applied. Raises `InvalidInput` if one cannot be."""
    # Imported here, as only clients that patch need it.
    from jsonpatch import JsonPatchException, apply_patch
    from jsonpointer import JsonPointerException

    given = [each.model_dump(by_alias=True, exclude_unset=True) for each in operations]
    try:
        patched: Any = apply_patch(deepcopy(dict(document)), given)
    except (JsonPatchException, JsonPointerException, KeyError, TypeError, ValueError) as error:
        paths = ", ".join(each.path[:60] for each in operations[:5])
        raise InvalidInput.at(
            "", f"cannot be applied to the workflow ({paths}): {str(error)[:200]}"
        ) from error
    if not isinstance(patched, dict) or set(patched) - {"metadata", "tags", "status"}:
        raise InvalidInput.at("", "changes something else than /metadata, /tags and /status")
    return cast("dict[str, Any]", patched)


def change_of(operations: Sequence[PatchOperation], status: str) -> Callable[[BatchRecord], BatchRecord]:
    """Return the change of a record that applies a patch to it; ``status``: the workflow's."""

    def change(record: BatchRecord) -> BatchRecord:
        patched = apply(workflow_part(record, status), operations)
        changed = replace(record, notes={**record.notes, "metadata": metadata_of(patched)})
        return with_tags(changed, patched.get("tags", []))

    return change


def metadata_of(patched: Mapping[str, Any]) -> dict[str, Any]:
    metadata = patched.get("metadata", {})
    if not isinstance(metadata, dict):
        raise InvalidInput.at("/metadata", "should be an object")
    return cast("dict[str, Any]", metadata)


def with_tags(record: BatchRecord, tags: Any) -> BatchRecord:
    """Return the record with other tags. Raises `InvalidInput`."""
    if not isinstance(tags, (list, tuple)) or not all(
        isinstance(tag, str) and 1 <= len(tag) <= 200 for tag in cast("Sequence[Any]", tags)
    ):
        raise InvalidInput.at("tags", "should be a list of texts of up to 200 characters")
    distinct = tuple(dict.fromkeys(cast("Sequence[str]", tags)))
    if len(distinct) > MOST_TAGS:
        raise InvalidInput.at("tags", f"are {len(distinct)}; a workflow has at most {MOST_TAGS}")
    return replace(record, tags=distinct)
