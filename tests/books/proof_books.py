"""Many books at once on a server that is killed again and again: each page once, each book to its end.

``python -m tests.books.proof_books`` does it with 40 books and says how long it took.
"""

import json
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psutil
import sqlalchemy as sa

from imagemill.db import tables as core
from imagemill.db.engine import normalise
from imagemill.products.books import tables
from imagemill.products.books.book_states import BookState
from tests.books.support import ALL_PAGES, SLUG, write_book
from tests.cli.programs import Program, running

PHOTO = Path(__file__).parents[2] / "src/imagemill/products/books/sample/photo.jpg"
_ENDS = {BookState.COMPLETED, BookState.GENERATION_FAILED, BookState.ANALYSIS_FAILED}
_DEADLINE_S = 1800.0
_STUCK_S = 150.0
"""A book that stays in one state for so long, with the server up again, is stuck."""
_PATIENCE_S = 0.3
"""Between two looks at a book."""


@dataclass
class BooksProof:
    folder: Path
    database_url: str
    states: Counter[str] = field(default_factory=Counter[str])
    problems: list[str] = field(default_factory=list[str])
    twice: list[str] = field(default_factory=list[str])
    """Pages that two jobs have made."""
    kills: int = 0
    children_killed: int = 0
    claims: int = 0
    seconds: float = 0.0


class _Server:
    """The server under its present address; it is started again after each kill."""

    def __init__(self, folder: Path, settings: dict[str, str], constants: Mapping[str, float]) -> None:
        self.folder = folder
        self.settings = settings
        self.constants = constants
        self.url = ""
        self.program: Program | None = None

    @contextmanager
    def started(self) -> Iterator[Program]:
        with running("serve", cwd=self.folder, constants=self.constants, **self.settings) as program:
            self.url, self.program = program.url, program
            yield program
            self.program = None

    def request(self, method: str, path: str, **parts: Any) -> httpx2.Response:
        """Send a request until a server answers it."""
        while True:
            with suppress(httpx2.HTTPError), httpx2.Client(timeout=30, trust_env=False) as client:
                answer = client.request(method, f"{self.url}{path}", **parts)
                if answer.status_code < 500:
                    return answer
            time.sleep(0.2)


def settings(folder: Path, database_url: str) -> dict[str, str]:
    return {
        "IMAGEMILL_DATA_DIR": str(folder / "data"),
        "IMAGEMILL_DATABASE_URL": database_url,
        "IMAGEMILL_PORT": "0",
        "IMAGEMILL_BOOKS__FOLDER": str(folder / "catalogue"),
        "IMAGEMILL_BOOKS__IDENTITY_LIMIT": "0.1",
        "IMAGEMILL_SIMULATOR__NODES": "2",
        "IMAGEMILL_JOB__RETRY_BASE_S": "0.05",
        "IMAGEMILL_JOB__HEARTBEAT_S": "0.2",
        "IMAGEMILL_SWEEP_S": "0.2",
        "IMAGEMILL_LOG_LEVEL": "info",
    }


def prove(
    folder: Path,
    database_url: str,
    books: int,
    kills: int,
    *,
    press_kills: float = 0.0,
    constants: Mapping[str, float] | None = None,
    **changes: str,
) -> BooksProof:
    """Make some books at once; kill the server ``kills`` times meanwhile.

    ``press_kills``: the probability that a process of the press is killed in a fifth of a second;
    ``constants``: see `tests.tuning.program`; ``changes``: of the settings.
    """
    begun = time.monotonic()
    proof = BooksProof(folder, database_url)
    write_book(folder / "catalogue")
    server = _Server(folder, settings(folder, database_url) | changes, constants or {})
    readers = [threading.Thread(target=_one_book, args=(server, proof), daemon=True) for _ in range(books)]
    random.seed(14)
    for turn in range(kills + 1):
        with server.started() as program:
            if turn == 0:
                for reader in readers:
                    reader.start()
            wanted = len(ALL_PAGES) * books * (turn + 1) // (kills + 1)
            while any(reader.is_alive() for reader in readers):
                time.sleep(0.2)
                assert time.monotonic() - begun < _DEADLINE_S, f"{proof}: it took too long"
                if random.random() < press_kills:
                    proof.children_killed += _kill_a_press(program)
                if turn < kills and _pages_made(database_url) >= wanted:
                    break
            if turn < kills:
                program.signal(signal.SIGKILL)
                program.ended()
                proof.kills += 1
    for reader in readers:
        reader.join(1)
    _count(proof)
    proof.seconds = time.monotonic() - begun
    return proof


def _one_book(server: _Server, proof: BooksProof) -> None:
    """Take a book from its photo to the print files, as a shop and a parent do."""
    consent = json.dumps({"who": "parent@example.org", "when": "2026-01-31T12:00:00Z"})
    answer = server.request(
        "POST",
        f"/api/v1/books/{SLUG}/personalizations",
        files={"photo": ("photo.jpg", PHOTO.read_bytes(), "image/jpeg")},
        data={"consent": consent},
    )
    assert answer.status_code == 201, answer.text
    path = f"/api/v1/personalizations/{answer.json()['id']}"
    child = {"childName": "Ada", "childAge": 5, "childGender": "girl", "language": "en"}
    moves: dict[str, list[tuple[str, Any]]] = {
        "reference_ready": [("reference/approve", {}), ("generate", child)],
        "preview_ready": [("unlock", None)],
        "proof_ready": [("approve", {"who": "parent@example.org"})],
    }
    seen, refusal, since = "", "", time.monotonic()
    while True:
        view = server.request("GET", path).json()
        if f"{view['state']} {view['done']}" != seen:
            seen, since = f"{view['state']} {view['done']}", time.monotonic()
        if view["state"] in _ENDS or time.monotonic() - since > _STUCK_S:
            break
        for move, body in moves.get(view["state"], ()):
            answer = server.request("POST", f"{path}/{move}", json=body)
            assert answer.status_code in (200, 202, 409), answer.text
            if answer.status_code == 409:
                refusal = answer.text
        time.sleep(_PATIENCE_S)
    proof.states[view["state"]] += 1
    if view["state"] != BookState.COMPLETED:
        proof.problems.append(f"{seen}: {view.get('problem')}; last refusal: {refusal}")


def _kill_a_press(program: Program) -> int:
    """Kill a child process of the server that does page work, if there is one; return how many."""
    with suppress(psutil.NoSuchProcess):
        every = psutil.Process(program.process.pid).children(recursive=True)
        presses = [each for each in every if "imagemill.backends.press.child" in each.cmdline()]
        if presses:
            random.choice(presses).kill()
            return 1
    return 0


def _pages_made(database_url: str) -> int:
    engine = sa.create_engine(normalise(database_url))
    try:
        with engine.connect() as conn:
            made = tables.files.c
            return conn.scalar(
                sa.select(sa.func.count()).select_from(tables.files).where(made.kind == "preview")
            )
    except sa.exc.DBAPIError:
        return 0  # not migrated yet
    finally:
        engine.dispose()


def _count(proof: BooksProof) -> None:
    engine = sa.create_engine(normalise(proof.database_url))
    with engine.connect() as conn:
        rows = conn.execute(sa.select(core.jobs.c.recipe, core.jobs.c.input, core.jobs.c.status)).all()
        proof.claims = conn.scalar(
            sa.select(sa.func.count()).select_from(core.events).where(core.events.c.type == "Claimed")
        )
    engine.dispose()
    made: Counter[str] = Counter()
    for recipe, text, status in rows:
        if status == "succeeded" and recipe != "bookErasure":
            given = json.loads(text)
            parts = (given["personalization"], recipe, given.get("page", 0), given.get("version", 0))
            made["/".join(map(str, parts)) + given.get("edition", "")] += 1
    proof.twice = sorted(name for name, count in made.items() if count > 1)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        proof = prove(place, f"sqlite:///{place / 'proof.db'}", books=40, kills=4, press_kills=0.01)
    print(
        f"{proof.states.total()} books in {proof.seconds:.0f} s: {dict(proof.states)}, the server was killed "
        f"{proof.kills} times and its press {proof.children_killed} times, {proof.claims} claims, "
        f"made twice: {len(proof.twice)}"
    )
    if proof.twice or proof.states.total() != 40 or not all(proof.problems):
        print(proof.twice, proof.problems)
        sys.exit(1)


if __name__ == "__main__":
    main()
