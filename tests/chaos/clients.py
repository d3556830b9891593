"""Clients that submit without pause to any API process, with an idempotency key, until they are answered."""

import random
import threading
import uuid
from collections import deque
from typing import Any

import httpx2

from tests.conftest import SD1, SDXL, TOKEN, image_job

_PATIENCE_S = 60.0
"""A client asks again for so long before it takes a request for lost; a busy machine starts slowly."""


class Clients:
    """What was answered with 200 counts as accepted: ids by idempotency key."""

    def __init__(self, urls: list[str], number: int, pause_s: float) -> None:
        self.accepted: dict[str, list[str]] = {}
        self.refused: list[str] = []
        """Answers that are no promise to come back: anything but 200, a failed connection, or 5xx."""
        self.contradicted: list[str] = []
        """Keys that were answered with other jobs the second time."""
        self.asked_again = 0
        self._unfollowed: deque[str] = deque(maxlen=1)
        """The newest job only: followers are few."""
        self._urls = urls
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._live, args=(seed,)) for seed in range(number)]
        for thread in self._threads:
            thread.start()

    def take_newest(self) -> str | None:
        """A job that was accepted just now, once."""
        try:
            return self._unfollowed.pop()
        except IndexError:
            return None

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _live(self, seed: int) -> None:
        draw = random.Random(seed)
        with httpx2.Client(headers=TOKEN, timeout=15, trust_env=False, verify=False) as client:
            while not self._stop.is_set():
                self._submit(client, draw)
                self._stop.wait(draw.random() * 2 * self._pause_s)

    def _submit(self, client: httpx2.Client, draw: random.Random) -> None:
        key, body = uuid.uuid4().hex, _body(draw)
        waited_s = 0.0
        while waited_s < _PATIENCE_S:
            ids = self._ask(client, draw, key, body)
            if ids is not None:
                self._keep(key, ids)
                if draw.random() < 0.1:  # as after a lost answer
                    self._keep(key, self._ask(client, draw, key, body) or ids)
                return
            self.asked_again += 1
            waited_s += 0.2
            threading.Event().wait(0.2)

    def _ask(
        self, client: httpx2.Client, draw: random.Random, key: str, body: dict[str, Any]
    ) -> list[str] | None:
        try:
            answer = client.post(
                f"{draw.choice(self._urls)}/v1/consumer/jobs", json=body, headers={"Idempotency-Key": key}
            )
        except httpx2.HTTPError:
            return None
        if answer.status_code >= 500:
            return None
        if answer.status_code != 200:
            self.refused.append(f"{answer.status_code} {answer.text[:200]}")
            return []
        return [job["jobId"] for job in answer.json()["jobs"]]

    def _keep(self, key: str, ids: list[str]) -> None:
        if key not in self.accepted:
            self._unfollowed.extend(ids)
        if self.accepted.setdefault(key, ids) != ids:
            self.contradicted.append(key)


def _body(draw: random.Random) -> dict[str, Any]:
    job = image_job(model=draw.choice([SD1, SDXL]))
    if draw.random() < 0.1:
        return {"jobs": [{**job, "name": "first"}, {**job, "dependencies": ["first"]}]}
    return job
