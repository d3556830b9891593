"""A client that behaves as Civitai's nodes for ComfyUI do: one step a workflow, submit, long polls, download.

It retries 429 and 5xx four times in all, reads pictures from `images`, `blobs` or `blob`, cancels by PUT when
its time is over, and makes its message of a failure from the step's errors and its jobs' reasons.
"""

import time
from dataclasses import dataclass
from typing import Any

import httpx2

FINAL = {"succeeded", "failed", "expired", "canceled"}
RETRIED = {429, 500, 502, 503, 504}
TRIES = 4


class Failure(Exception):
    """The workflow has not succeeded."""


@dataclass
class PollingClient:
    url: str
    token: str
    submit_wait_s: int = 5
    poll_wait_s: int = 10
    apart_s: float = 3.0
    """The least time between two polls."""
    back_off_s: float = 1.0

    def run(self, type_: str, input_: dict[str, Any], limit_s: float = 60, **step: Any) -> list[bytes]:
        """Return the files of a step. Raises `Failure`."""
        body = {"steps": [{"$type": type_, "input": input_, **step}]}
        workflow = self.call("POST", "", json=body, params={"wait": self.submit_wait_s}).json()
        end = time.monotonic() + limit_s
        while workflow["status"] not in FINAL:
            if time.monotonic() >= end:
                self.call("PUT", f"/{workflow['id']}", json={"status": "canceled"})
                raise Failure(f"{workflow['id']} is not finished in time")
            polled = time.monotonic()
            workflow = self.call("GET", f"/{workflow['id']}", params={"wait": self.poll_wait_s}).json()
            if workflow["status"] not in FINAL:
                time.sleep(max(0.0, self.apart_s - (time.monotonic() - polled)))
        if workflow["status"] != "succeeded":
            raise Failure(reasons(workflow))
        return [self.download(url) for url in urls(workflow)]

    def call(self, method: str, path: str, **options: Any) -> httpx2.Response:
        for tried in range(1, TRIES + 1):
            answer = httpx2.request(
                method,
                f"{self.url}/v2/consumer/workflows{path}",
                headers={"Authorization": f"Bearer {self.token}", "Accept": "*/*"},
                timeout=120,
                verify=False,
                **options,
            )
            if answer.status_code not in RETRIED or tried == TRIES:
                break
            time.sleep(self.back_off_s)
        if answer.status_code >= 400:
            raise Failure(f"{answer.status_code}: {answer.json().get('detail')}")
        return answer

    def download(self, url: str) -> bytes:
        """Fetch without the token, as a plain address."""
        answer = httpx2.get(url, follow_redirects=True, timeout=300, verify=False)
        answer.raise_for_status()
        return answer.content


def urls(workflow: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for step in workflow["steps"]:
        output = step.get("output", {})
        blobs = output.get("images") or output.get("blobs") or [output.get("blob") or output.get("image")]
        found += [blob["url"] for blob in blobs if blob and blob["available"]]
    return found


def reasons(workflow: dict[str, Any]) -> str:
    found: list[str] = []
    for step in workflow["steps"]:
        found += step.get("output", {}).get("errors", [])
        for job in step["jobs"]:
            found += [job[name] for name in ("reason", "blockedReason") if job.get(name)]
    return "; ".join(found) or workflow["status"]
