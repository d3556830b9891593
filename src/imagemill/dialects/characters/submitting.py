"""Submit what a client of characters asks for; equal requests may share pictures."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fastapi import Request

from imagemill.dialects.characters.feeds import Arrivals
from imagemill.domain.errors import Conflict, InvalidInput, NotFound, UnsupportedPicture, UnusablePicture
from imagemill.domain.jobs import Draft, JobStatus
from imagemill.service.services import Services
from imagemill.service.submit import Wish
from imagemill.store.submitting import Accepted
from imagemill.web.gate import caller
from imagemill.web.requests import digest, idempotency_key, request_trace

NAME = "characters"
_FIELDS = {
    "reference": "referenceImageUrl",
    "character_id": "characterId",
    "story_id": "storyId",
    "custom_instructions": "customInstructions",
    "action_tag": "actionTag",
}


@dataclass(frozen=True, slots=True)
class Ordered:
    """``jobs``: one a wish, in their order. ``reused``: those that were there before, as others' answer."""

    batch: str
    jobs: tuple[str, ...]
    reused: frozenset[str]


class Desk:
    """``reuse``: whether this server lets requests share pictures."""

    def __init__(self, services: Services, arrivals: Arrivals, *, reuse: bool) -> None:
        self._services = services
        self._arrivals = arrivals
        self._reuse = reuse

    async def order(self, request: Request, wishes: tuple[Wish, ...], body: Any) -> Ordered:
        """Raises what a submission raises, with the fields as this API calls them."""
        owner = caller(request).owner
        wanted = wishes if self._reuse else tuple(replace(wish, sole="") for wish in wishes)
        trace, key = request_trace(request), idempotency_key(request)
        # In a thread: the glossary reads each sheet, which takes milliseconds.
        drafts = await asyncio.to_thread(self._drafts, owner, wanted, trace)
        accepted = await self._accepted(owner, drafts, key, body)
        gone = await asyncio.to_thread(self._without_pictures, accepted.taken)
        again = {draft.id for draft in drafts if draft.sole in gone}
        if again:
            # Equal requests were answered from pictures that are gone by now: these are made anew.
            fresh = [replace(draft, sole="") for draft in drafts if draft.id in again]
            await self._accepted(owner, tuple(fresh), None, body)
        self._arrivals.tell(owner)
        return _ordered(drafts, accepted, again)

    async def _accepted(self, owner: str, drafts: tuple[Draft, ...], key: str | None, body: Any) -> Accepted:
        submitter = self._services.submitter
        future = submitter.begin(owner, drafts, key=key, digest=digest(body) if key else "")
        accepted = await asyncio.wrap_future(future)
        if not accepted.jobs and not accepted.taken:
            raise Conflict(f"the jobs of the idempotency key {key!r} are gone; use another key")
        return accepted

    def _drafts(self, owner: str, wishes: tuple[Wish, ...], trace: str | None) -> tuple[Draft, ...]:
        try:
            return self._services.submitter.drafts(owner, wishes, dialect=NAME, trace=trace)
        except (UnsupportedPicture, UnusablePicture) as error:
            # Of no use is a field that is wrong, here as elsewhere in this API.
            raise InvalidInput(error.renamed(_renamed).errors) from error
        except InvalidInput as error:
            raise error.renamed(_renamed) from error

    def _without_pictures(self, taken: Mapping[str, str]) -> set[str]:
        """Of the jobs that answer for others those whose files are gone, by what they were reserved for."""
        gone: set[str] = set()
        for sole, job_id in taken.items():
            try:
                view = self._services.store.view(job_id)
            except NotFound:
                gone.add(sole)
                continue
            if view.job.status is JobStatus.SUCCEEDED and not all(each.available for each in view.artifacts):
                gone.add(sole)
        return gone


def _ordered(drafts: tuple[Draft, ...], accepted: Accepted, again: set[str]) -> Ordered:
    if accepted.repeated:
        return Ordered(accepted.batch, tuple(job.id for job in accepted.jobs), frozenset())
    made = {job.id for job in accepted.jobs} | again
    jobs = tuple(draft.id if draft.id in made else accepted.taken[draft.sole] for draft in drafts)
    return Ordered(accepted.batch, jobs, frozenset(jobs) - made)


def _renamed(path: str) -> str:
    head, dot, rest = path.partition(".")
    return f"{_FIELDS.get(head, head)}{dot}{rest}".replace("loras", "lora")
