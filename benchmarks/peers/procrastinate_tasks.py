"""Procrastinate's task, its worker and its client:

    python -m benchmarks.peers.procrastinate_tasks tables|client|worker|both CLIENTS

The client obeys commands as `benchmarks.peers.work.obey` says. DATABASE and PICTURES (a folder) say where.
A client learns of the end of its job by a trigger, since procrastinate itself announces only new jobs.
"""

import asyncio
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import procrastinate  # pyright: ignore[reportMissingImports] - of the peers' own environment
import psycopg
import uvloop

from benchmarks.peers.client import Load, summarise
from benchmarks.peers.work import READY, Order, order, render

ANSWER_S = 60
DATABASE = os.environ["DATABASE"]
TRIGGER = """
CREATE FUNCTION announce_end() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_notify('ended', NEW.id || ' ' || NEW.status); RETURN NULL; END $$;
CREATE TRIGGER announce_end AFTER UPDATE OF status ON procrastinate_jobs FOR EACH ROW
WHEN (NEW.status IN ('succeeded', 'failed')) EXECUTE FUNCTION announce_end();
"""

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=DATABASE, min_size=4, max_size=20))


def _picture(arguments: dict[str, Any]) -> None:
    render(Order.model_validate(arguments), Path(os.environ["PICTURES"]) / f"{uuid4()}.png")


picture = app.task(queue="pictures", retry=5, name="picture")(_picture)


class Ends:
    """The ends of jobs; one may be announced before its number is known here."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[str]] = {}

    async def wait(self, job: int) -> None:
        status = await asyncio.wait_for(self._future(job), ANSWER_S)
        del self._waiting[job]
        if status != "succeeded":
            raise RuntimeError(f"job {job} has {status}")

    async def listen(self) -> None:
        async with await psycopg.AsyncConnection.connect(DATABASE, autocommit=True) as connection:
            await connection.execute("LISTEN ended")
            async for notice in connection.notifies():
                job, status = notice.payload.split()
                self._future(int(job)).set_result(status)

    def _future(self, job: int) -> asyncio.Future[str]:
        return self._waiting.setdefault(job, asyncio.get_running_loop().create_future())


async def load(ends: Ends, clients: int, seconds: float) -> Load:
    latencies: list[float] = []
    start, cpu_start = time.perf_counter(), time.process_time()

    async def client() -> None:
        while (sent := time.perf_counter()) < start + seconds:
            await ends.wait(await picture.defer_async(arguments=order().model_dump()))
            latencies.append(time.perf_counter() - sent)

    await asyncio.gather(*(client() for _ in range(clients)))
    return summarise(latencies, time.perf_counter() - start, time.process_time() - cpu_start)


async def obey(clients: int) -> None:
    ends, loop = Ends(), asyncio.get_running_loop()
    listener = asyncio.create_task(ends.listen())
    await ends.wait(await picture.defer_async(arguments=order().model_dump()))
    print(READY, flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(asdict(await load(ends, clients, float(line)))), flush=True)
    listener.cancel()


async def main(role: str, clients: int) -> None:
    async with app.open_async():
        match role:
            case "tables":
                await app.schema_manager.apply_schema_async()
                async with await psycopg.AsyncConnection.connect(DATABASE, autocommit=True) as connection:
                    await connection.execute(TRIGGER)
            case "worker":
                await app.run_worker_async(concurrency=clients)
            case "client":
                await obey(clients)
            case _:
                worker = app.run_worker_async(concurrency=clients, install_signal_handlers=False)
                task = asyncio.create_task(worker)
                await obey(clients)
                task.cancel()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
