"""Documents about models from elsewhere: as fields of resources.

Known are Civitai's own resource documents, exports of MongoDB with their extended JSON, and a model or a
version of a model as the API of Civitai's site answers it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, cast

from imagemill.domain.air import TYPES, type_of_word
from imagemill.domain.base_models import find_base_model
from imagemill.domain.clock import to_datetime
from imagemill.domain.dataclass import dataclass

_MOST_DESCRIPTION = 10_000
_MOST_MS = 10**14
"""Milliseconds since the epoch in the year 5138: more are no date."""
_MOST_WORD = 200
_MOST_WORDS = 100
_MONGO_ONLY = ("_id", "__v", "_class")
"""Fields of a stored document that say nothing about the model."""
_JOB_FIELDS = ("jobId", "jobs", "jobType", "lastEvent", "jobHasCompleted", "workflowId", "$type", "params")
"""A document without an AIR and with one of these is a job or an event of one."""
_FORMATS = {
    "safetensor": "safeTensor",
    "pickletensor": "pickleTensor",
    "diffusers": "diffusers",
    "coreml": "coreML",
    "onnx": "onnx",
}
_HASHES = ("AutoV1", "AutoV2", "AutoV3", "SHA256", "CRC32", "BLAKE3")
_TAG = re.compile(r"<[^>]*>")
_SPACE = re.compile(r"\s+")

Fields = Mapping[str, Any]


class UnreadableDocument(ValueError):
    """The document describes no model that can be registered; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class ResourceDocument:
    """The fields of one resource."""

    fields: Fields
    defaults: Fields = field(default_factory=dict[str, Any])
    """Fields for a resource that does not have them yet."""


def read_document(value: Fields) -> list[ResourceDocument]:
    """Return the resources that a document describes: several for a model with versions.

    Raises `UnreadableDocument`.
    """
    document = cast("dict[str, Any]", _plain(value))
    for name in _MONGO_ONLY:
        document.pop(name, None)
    items = document.get("items")
    if "air" not in document and isinstance(items, list):
        return [found for item in _objects(items) for found in read_document(item)]
    if isinstance(document.get("modelVersions"), list):
        return _model(document)
    if "modelId" in document and "baseModel" in document:
        return [_version(document, _object(document.get("model")), document["modelId"])]
    if "air" not in document and not document.keys().isdisjoint(_JOB_FIELDS):
        raise UnreadableDocument("is a job, or an event of one; only models are imported, jobs are not")
    return [ResourceDocument(document)]


def _plain(value: Any) -> Any:
    """Return a value without MongoDB's extended JSON: ``{"$date": ...}`` as a text, ``{"$numberLong": "5"}``
    as 5."""
    if isinstance(value, list):
        return [_plain(each) for each in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    found = cast("dict[str, Any]", value)
    if len(found) == 1:
        ((name, inner),) = found.items()
        if name == "$oid":
            return str(inner)
        if name == "$date":
            return _date(_plain(inner))
        if name in ("$numberLong", "$numberInt"):
            return int(inner) if re.fullmatch(r"-?[0-9]{1,19}", str(inner)) else inner
        if name in ("$numberDouble", "$numberDecimal"):
            return float(inner) if re.fullmatch(r"-?[0-9.]{1,40}(E[+-]?[0-9]{1,3})?", str(inner)) else inner
    return {name: _plain(inner) for name, inner in found.items()}


def _date(value: Any) -> str:
    """Return a date that is a text, or milliseconds since the epoch."""
    if isinstance(value, int) and 0 <= value < _MOST_MS:
        return to_datetime(value * 1000).isoformat()
    return str(value)


def _model(model: Fields) -> list[ResourceDocument]:
    versions = list(_objects(model["modelVersions"]))
    if not versions:
        raise UnreadableDocument("is a model without versions")
    return [_version(version, model, model.get("id")) for version in versions]


def _version(version: Fields, model: Fields, model_id: Any) -> ResourceDocument:
    """Return a version of a model of Civitai's site."""
    file = _file(version)
    hashes = _object(file.get("hashes"))
    fields: dict[str, Any] = {
        "air": version.get("air") or _air(version, model, model_id),
        "modelName": _word(model.get("name")),
        "versionName": _word(version.get("name")),
        "description": _text(version.get("description") or model.get("description")),
        "baseModel": _word(version.get("baseModel")),
        "nsfw": model.get("nsfw"),
        "allowCommercialUse": model.get("allowCommercialUse"),
        "tags": _words(model.get("tags")),
        "trainedWords": _words(version.get("trainedWords")),
        "publishedAt": version.get("publishedAt"),
        "earlyAccessEndsAt": version.get("earlyAccessEndsAt"),
        "canGenerate": version.get("supportsGeneration"),
        "downloadUrls": [url] if (url := file.get("downloadUrl") or version.get("downloadUrl")) else None,
        "hashes": {name: hashes[name] for name in _HASHES if name in hashes},
        "fileFormat": _format(file),
        "size": _size(file),
    }
    name = file.get("name")
    return ResourceDocument(
        {name: value for name, value in fields.items() if value not in (None, [], {})},
        {"fileName": name} if isinstance(name, str) and name else {},
    )


def _air(version: Fields, model: Fields, model_id: Any) -> str:
    """Return the AIR of a version, from its base model and the model's type."""
    type_ = type_of_word(str(model.get("type") or ""))
    if type_ not in TYPES:
        raise UnreadableDocument(f"is of the type {str(model.get('type'))[:40]!r}, which jobs cannot name")
    base = find_base_model(str(version.get("baseModel") or ""))
    if base is None:
        raise UnreadableDocument(
            f"has the base model {str(version.get('baseModel'))[:40]!r}, which is not known; add `air` to "
            "the document, or register it with `imagemill resources add AIR`"
        )
    return f"urn:air:{base.ecosystem}:{type_}:civitai:{model_id}@{version.get('id')}"


def _file(version: Fields) -> Fields:
    """Return the file of a version that holds the model."""
    files = list(_objects(version.get("files")))
    ranked = sorted(files, key=lambda file: (not file.get("primary"), file.get("type") != "Model"))
    return ranked[0] if ranked else {}


def _format(file: Fields) -> str | None:
    given = _object(file.get("metadata")).get("format")
    return _FORMATS.get(re.sub(r"[^a-z]", "", str(given).lower()))


def _size(file: Fields) -> int | None:
    kilobytes = file.get("sizeKB")
    return round(kilobytes * 1024) if isinstance(kilobytes, (int, float)) and kilobytes > 0 else None


def _text(value: Any) -> str | None:
    """Return a text without HTML."""
    if not isinstance(value, str):
        return None
    return _SPACE.sub(" ", _TAG.sub(" ", value)).strip()[:_MOST_DESCRIPTION] or None


def _word(value: Any) -> str | None:
    return value.strip()[:_MOST_WORD] or None if isinstance(value, str) else None


def _words(values: Any) -> list[str]:
    """Return texts, also those that are given as ``{"name": ...}``."""
    given: Sequence[Any] = cast("list[Any]", values) if isinstance(values, list) else []
    words = [_word(_object(each).get("name") if isinstance(each, dict) else each) for each in given]
    return [word for word in words if word][:_MOST_WORDS]


def _object(value: Any) -> Fields:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _objects(values: Any) -> Iterator[Fields]:
    if isinstance(values, list):
        yield from (
            cast("dict[str, Any]", each) for each in cast("list[Any]", values) if isinstance(each, dict)
        )
