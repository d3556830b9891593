"""The client for asyncio. `imagemill_client.client` is made from this module by tools/client_sync.py."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Self

import httpx2

from imagemill_client import protocol
from imagemill_client.errors import ApiError, JobNotSuccessful, ServerUnreachable
from imagemill_client.models import (
    ArtifactBody,
    Estimate,
    EventBody,
    JobBody,
    JobPage,
    ProgressBody,
    Upload,
)
from imagemill_client.protocol import Call, RetryPolicy


class AsyncImagemill:
    """A connection to a server; close it, or use it in an ``async with`` block.

    ``token`` is an API key; None for a server that asks for none. ``timeout_s`` limits the wait for an
    answer. Requests are repeated after lost connections and answers 429, 502, 503 and 504.
    Methods raise `ApiError` for a refusal and `ServerUnreachable` where no answer comes.
    """

    def __init__(
        self,
        url: str = protocol.DEFAULT_URL,
        token: str | None = None,
        *,
        timeout_s: float = 30.0,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._http = httpx2.AsyncClient(**protocol.client_options(url, token, timeout_s))
        # The addresses of files are signed, and may be on another host: the token is not sent there.
        self._files = httpx2.AsyncClient(timeout=timeout_s)
        self._retry = retry or RetryPolicy()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()
        await self._files.aclose()

    async def submit(
        self, recipe: str, input: Mapping[str, Any], *, idempotency_key: str | None = None, **options: Any
    ) -> JobBody:
        """Submit a job and return it as it was accepted.

        ``options`` are further fields of the request, such as ``priority=-10`` or ``callbackUrl=...``. The
        same ``idempotency_key`` submits the job once however often it is sent.
        """
        call = protocol.submission(recipe, input, idempotency_key, options)
        return protocol.parse(JobBody, await self._send(call))

    async def estimate(self, recipe: str, input: Mapping[str, Any], **options: Any) -> Estimate:
        """Return what a job would cost, without submitting it."""
        return protocol.parse(
            Estimate, await self._send(protocol.submission(recipe, input, None, options, whatif=True))
        )

    async def get(self, job_id: str) -> JobBody:
        return protocol.parse(JobBody, await self._send(Call("GET", f"{protocol.JOBS}/{job_id}")))

    async def cancel(self, job_id: str) -> JobBody:
        """Ask for the end of a job; a render that runs is stopped."""
        return protocol.parse(JobBody, await self._send(Call("POST", f"{protocol.JOBS}/{job_id}/cancel")))

    async def list(self, *, limit: int | None = None, **filters: Any) -> AsyncIterator[JobBody]:
        """Return the jobs, newest first, page by page: at most ``limit``.

        ``filters`` are those of the route, such as ``status="failed"`` or ``recipe="textToImage"``.
        """
        cursor: str | None = None
        left = limit
        while left is None or left > 0:
            size = 100 if left is None else min(100, left)
            query = {**filters, "limit": size, "cursor": cursor}
            page = protocol.parse(JobPage, await self._send(Call("GET", protocol.JOBS, query)))
            for job in page.items:
                yield job
            if page.next is None:
                return
            cursor, left = page.next, None if left is None else left - len(page.items)

    async def follow(self, job_id: str, *, after: int = 0) -> AsyncIterator[EventBody | ProgressBody]:
        """Return the events of a job as they happen, until it has finished, and its progress in between.

        A lost connection is opened again; no event is missed or repeated. ``after`` is the number of the last
        event you know.
        """
        parser, lost = protocol.EventParser(after), 0
        while True:
            try:
                async with self._http.stream(**protocol.events(job_id, parser.after).arguments()) as answer:
                    if not answer.is_success:
                        await answer.aread()
                        protocol.check(answer)
                    async for line in answer.aiter_lines():
                        for message in parser.feed(line):
                            lost = 0
                            yield message
                if protocol.is_finished(await self.get(job_id)):
                    return
                lost = await self._pause(lost, None)
            except (httpx2.TransportError, ApiError) as error:
                if isinstance(error, ApiError) and error.status not in (429, 502, 503, 504):
                    raise
                lost = await self._pause(lost, error)
            parser.restart()

    async def wait(self, job_id: str, on_progress: Callable[[ProgressBody], None] | None = None) -> JobBody:
        """Wait until a job has finished, and return it. Raises `JobNotSuccessful` unless it succeeded."""
        async for message in self.follow(job_id):
            if on_progress is not None and isinstance(message, ProgressBody):
                on_progress(message)
        job = await self.get(job_id)
        if job.status != "succeeded":
            raise JobNotSuccessful(job)
        return job

    async def run(
        self,
        recipe: str,
        input: Mapping[str, Any],
        *,
        on_progress: Callable[[ProgressBody], None] | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> JobBody:
        """Submit a job and wait for it: `submit` and `wait`."""
        job = await self.submit(recipe, input, idempotency_key=idempotency_key, **options)
        return await self.wait(job.id, on_progress)

    async def upload(self, picture: bytes, media_type: str = "image/png") -> Upload:
        """Upload an input picture. A recipe takes it as ``blob:`` and its `Upload.key`."""
        return protocol.parse(Upload, await self._send(protocol.upload(picture, media_type)))

    async def download(self, artifact: ArtifactBody) -> bytes:
        """Return a file that a job made. Raises `ValueError` if its retention is over."""
        if artifact.url is None:
            raise ValueError(f"the file {artifact.id} is not kept any more")
        return protocol.check(await self._send(Call("GET", artifact.url), self._files)).content

    async def _send(self, call: Call, http: httpx2.AsyncClient | None = None) -> httpx2.Response:
        attempt, http = 0, http or self._http
        while True:
            response, error = None, None
            try:
                response = await http.request(**call.arguments())
            except httpx2.TransportError as caught:
                error = caught
            pause = self._retry.pause_s(attempt, response)
            if pause is None and error is not None:
                raise ServerUnreachable(f"{call.path}: the server does not answer: {error}") from error
            if pause is None and response is not None:
                return response
            await asyncio.sleep(pause or 0.0)
            attempt += 1

    async def _pause(self, lost: int, error: Exception | None) -> int:
        pause = self._retry.pause_s(lost, None)
        if pause is None:
            raise ServerUnreachable(f"{self._http.base_url} does not answer: {error}") from error
        await asyncio.sleep(pause)
        return lost + 1
