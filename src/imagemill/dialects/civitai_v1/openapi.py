"""The OpenAPI entries of the v1 routes; the handlers read bodies and queries themselves."""

from typing import Any

from imagemill.dialects.civitai_v1.schemas import ComfyTemplate, Query, Taint, TextToImageTemplate
from imagemill.web.openapi import FLAG, INSTANT, JSON, TEXT, TEXTS, answered, body, query, whole

_DETAILED = (FLAG, "Include each job's template as it was submitted")
_WAIT = (FLAG, "Hold the answer until the jobs are finished, for about 95 s at most")
_TOKEN = (TEXT, "The token of the answer to the submission")
_FORCE = (FLAG, "Accepted for compatibility; has no effect")

_WAITING = answered(202, "Not all of the jobs are finished", JSON)
_DONE = answered(200, "Done")

SUBMIT: dict[str, Any] = {
    **body(TextToImageTemplate, ComfyTemplate),
    **query(
        wait=_WAIT,
        detailed=_DETAILED,
        whatif=(FLAG, "Price the jobs without running them"),
        charge=(FLAG, "Accepted for compatibility; has no effect"),
    ),
    **_WAITING,
}
BY_TOKEN = query("token", token=_TOKEN, wait=_WAIT, detailed=_DETAILED) | _WAITING
TAINT_ALL: dict[str, Any] = {**body(Taint), **query("token", token=_TOKEN)}
CANCEL_ALL = query("token", token=_TOKEN, force=_FORCE) | _DONE
FIND: dict[str, Any] = {**body(Query), **query(detailed=_DETAILED)}
BY_ID = query(detailed=_DETAILED)
TAINT = body(Taint) | _DONE
CANCEL = query(force=_FORCE) | _DONE
EVENTS = query(
    take=(whole(1, 1000, 100), "The number of events"),
    descending=(FLAG, "The newest first, instead of the oldest"),
)
COVERAGE = query("model", model=(TEXTS, "AIRs: ?model=a&model=b"))
CONSUMPTION = query(
    startDate=(INSTANT, "30 days ago when absent"), endDate=(INSTANT, "Now when absent; not included")
)
REQUESTS = query(
    cursor=(TEXT, "`cursor.nextId` of the last answer"), take=(whole(1, 100, 20), "The number of submissions")
)
