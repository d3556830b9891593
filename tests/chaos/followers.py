"""Clients that follow jobs by their events, lose the connection often, and read on where they were."""

import random
import threading
from collections.abc import Callable

import httpx2

from tests.conftest import TOKEN

_TERMINAL = ("Succeeded", "Failed", "Canceled", "Expired")
_SILENCE_S = 30.0
"""Twice the keep-alive of the server: then the connection is dead."""


class Followers:
    """Each follows one job to its end, then takes the next. ``job``: one that nobody follows, or None."""

    def __init__(self, urls: list[str], number: int, job: Callable[[], str | None]) -> None:
        self.heard: dict[str, list[int]] = {}
        """Every sequence number a follower was told, in the order it came, by job."""
        self.ended: set[str] = set()
        self.reconnects = 0
        self.cut_off = 0
        """Connections that ended without our doing, before the job did."""
        self.wrong: list[str] = []
        """Answers that no follower should get."""
        self._urls = urls
        self._job = job
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._live, args=(seed,)) for seed in range(number)]
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> None:
        """Let them come to the end of what they follow."""
        self._stop.set()
        for thread in self._threads:
            thread.join(seconds)
            assert not thread.is_alive(), f"a follower never saw the end: {self.heard.keys() - self.ended}"

    def _live(self, seed: int) -> None:
        draw = random.Random(seed)
        with httpx2.Client(headers=TOKEN, timeout=_SILENCE_S, trust_env=False, verify=False) as client:
            while not self._stop.wait(0.02):
                job_id = self._job()
                if job_id is None:
                    continue
                self.heard[job_id] = []
                while not self._read(client, draw, job_id):
                    self.reconnects += 1
                    threading.Event().wait(0.1)
                self.ended.add(job_id)

    def _read(self, client: httpx2.Client, draw: random.Random, job_id: str) -> bool:
        """One connection, to any API process; whether the job's end came by it."""
        heard = self.heard[job_id]
        enough = draw.choice((1, 2, 3, 1000))
        """After so many events the connection is lost."""
        url = f"{draw.choice(self._urls)}/api/v1/jobs/{job_id}/events"
        last = {"Last-Event-ID": str(heard[-1])} if heard else {}
        try:
            with client.stream("GET", url, headers={"Accept": "text/event-stream", **last}) as answer:
                if answer.status_code == 200:
                    return self._listen(answer, heard, enough)
                if answer.status_code < 500:
                    self.wrong.append(f"{answer.status_code} for {url}")
        except httpx2.HTTPError:
            self.cut_off += bool(heard)
        return False

    def _listen(self, answer: httpx2.Response, heard: list[int], enough: int) -> bool:
        for line in answer.iter_lines():
            if line.startswith("id: "):
                heard.append(int(line[4:]))
                enough -= 1
            elif line.startswith("event: ") and line[7:] in _TERMINAL:
                return True  # its number came before its name
            elif not line and enough <= 0:
                return False
        self.cut_off += 1
        return False
