"""The filter of jobs: the query of the list and of the counts, and the body of operations on many jobs."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from imagemill.domain.clock import SECOND, from_datetime, now_us
from imagemill.domain.failures import FailureCode
from imagemill.domain.jobs import JobStatus
from imagemill.jobs.store.queries import Filter
from imagemill.web.body_fields import suggestion
from imagemill.web.routing import Flag, RequestModel

_MOST = 100
"""Values of one field."""
_LONGEST = 200
"""Characters of a value."""
_AGE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)([smhd]?)")
_UNIT_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def _separated(given: Any) -> Any:
    """Return the values of a list, of which each may be several separated by commas."""
    texts: Any = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):  # pyright: ignore[reportUnknownVariableType]
        return texts  # pyright: ignore[reportUnknownVariableType]
    values = [part.strip() for text in texts for part in text.split(",") if part.strip()]  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    long = next((value for value in values if len(value) > _LONGEST), None)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if long is not None:
        raise ValueError(f"has a value of more than {_LONGEST} characters")
    return values  # pyright: ignore[reportUnknownVariableType]


def _known(names: Sequence[str]) -> AfterValidator:
    def check(values: list[str]) -> list[str]:
        lowered = [value.lower() for value in values]
        for value, name in zip(values, lowered, strict=True):
            if name not in names:
                raise ValueError(f"is {value[:40]!r}{suggestion(value, names)}")
        return lowered

    return AfterValidator(check)


def instant_of(text: str | None) -> int | None:
    """Return the time that an age or a date means, in microseconds. Raises `ValueError`."""
    if text is None:
        return None
    if age := _AGE.fullmatch(text.strip().lower()):
        return max(0, now_us() - round(float(age[1]) * _UNIT_S[age[2]] * SECOND))
    try:
        return from_datetime(datetime.fromisoformat(text.strip()))
    except (ValueError, OverflowError):
        raise ValueError(
            f"is {text[:40]!r}; write an age such as 90, 15m or 7d, or a date such as 2026-01-31T00:00:00Z"
        ) from None


def _check_age(text: str | None) -> str | None:
    instant_of(text)
    return text


Values = Annotated[list[str], BeforeValidator(_separated), Field(max_length=_MOST)]
Age = Annotated[str | None, AfterValidator(_check_age)]


class JobFilter(RequestModel):
    """Which jobs. Lists may be repeated or separated by commas: one of the values must match."""

    id: Values = Field([], description="Only these jobs, at most 100.")
    status: Annotated[Values, _known([each.value for each in JobStatus])] = Field(
        [], description="Only jobs in these statuses."
    )
    recipe: Values = Field([], description="Only jobs of these recipes.")
    node: Values = Field([], description="Only jobs whose latest attempt is on these nodes.")
    model: Values = Field(
        [], description="Only jobs with these checkpoints: AIRs or file names; `*` stands for any characters."
    )
    error: Annotated[Values, _known([each.value for each in FailureCode])] = Field(
        [], description="Only jobs that failed with these error codes."
    )
    label: Values = Field([], description="Only jobs whose node must carry one of these labels.")
    replayed: Flag | None = Field(None, description="Only jobs that were, or were not, submitted again.")
    text: str = Field(
        "", max_length=_LONGEST, description="Only jobs with this text in their input, such as the prompt."
    )
    older_than: Age = Field(
        None, description="Submitted before: an age in seconds or such as `2h`, or a date and time."
    )
    newer_than: Age = Field(
        None, description="Submitted since: an age in seconds or such as `2h`, or a date and time."
    )
    batch: Values = Field([], description="Only the jobs of these submissions.")
    character: str | None = Field(None, max_length=_LONGEST, description="Only jobs of this character.")
    book: str | None = Field(
        None, max_length=_LONGEST, description="Only jobs of this personalization of a book."
    )


def filter_of(given: JobFilter, owner: str | None, **page: Any) -> Filter:
    """Return the store's filter, with ages counted from now. ``owner``: None means all owners."""
    inputs = {"character_id": given.character, "personalization": given.book}
    return Filter(
        owner=owner,
        statuses=frozenset(map(JobStatus, given.status)),
        ids=tuple(given.id),
        recipes=tuple(given.recipe),
        batches=tuple(given.batch),
        nodes=tuple(given.node),
        models=tuple(given.model),
        labels=tuple(given.label),
        errors=tuple(given.error),
        replayed=given.replayed,
        text=given.text,
        inputs=tuple((name, value) for name, value in inputs.items() if value),
        created_from=instant_of(given.newer_than),
        created_to=instant_of(given.older_than),
        **page,
    )
