"""What a product submits after its jobs: once, soon, whoever leads, whatever breaks."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from imagemill.bootstrap.advance import Advancer
from imagemill.bootstrap.application import Application, Roles
from imagemill.domain.errors import StorageError
from imagemill.jobs.store.queries import Filter
from imagemill.jobs.submit import Submitter
from imagemill.products.base import ProductParts
from tests.conftest import Server
from tests.press.chain import LAST, PRODUCT, Chain
from tests.press.recipes import installed
from tests.service.build import wait_until


@pytest.fixture(autouse=True)
def _product() -> Iterator[None]:
    with installed(PRODUCT):
        yield


def chain_of(app: Application) -> Chain:
    parts = app.products["chain"]
    assert isinstance(parts, Chain)
    return parts


def begin(server: Server) -> None:
    chain_of(server.app).submit(server.app.services.submitter, 1)


def numbers(server: Server) -> list[str]:
    return chain_of(server.app).numbers()


def test_each_job_is_followed_by_the_next_once(make_server: Callable[..., Server]) -> None:
    server = make_server()
    begin(server)
    wait_until(lambda: numbers(server) == ["1", "2", "3", "4"])
    chain_of(server.app).advance(server.app.services.submitter)
    jobs = server.app.stores.jobs.list_jobs(Filter(owner=server.app.settings.owner, limit=100))
    assert len(jobs) == LAST


def test_the_next_job_follows_at_once_and_not_with_the_next_sweep(make_server: Callable[..., Server]) -> None:
    server = make_server(sweep_s=30)
    begin(server)
    wait_until(lambda: numbers(server) == ["1", "2", "3", "4"])


def test_jobs_of_other_recipes_wake_no_product(make_server: Callable[..., Server]) -> None:
    server = make_server(sweep_s=30)
    chain = chain_of(server.app)
    calls: list[int] = []
    for _ in range(2):  # the calls of the server's start are over when the first has ended
        job_id = server.submit().json()["jobs"][0]["jobId"]
        assert server.wait(job_id)["status"] == "succeeded"
        calls.append(chain.calls)
    assert calls[0] == calls[1]


def test_a_product_can_ask_to_be_called(make_server: Callable[..., Server]) -> None:
    server = make_server(sweep_s=30)
    chain = chain_of(server.app)
    wait_until(lambda: chain.calls)
    before = chain.calls
    chain.context.wake()
    wait_until(lambda: chain.calls > before)


def test_two_leaders_make_no_job_twice(make_server: Callable[..., Server]) -> None:
    server = make_server(sweep_s=30)
    other = Chain(chain_of(server.app).context)
    submitter = server.app.services.submitter
    begin(server)
    done = threading.Event()

    def lead() -> None:
        while not done.is_set():
            other.advance(submitter)

    leaders = [threading.Thread(target=lead, daemon=True) for _ in range(2)]
    for leader in leaders:
        leader.start()
    wait_until(lambda: numbers(server) == ["1", "2", "3", "4"])
    done.set()
    for leader in leaders:
        leader.join(10)
    jobs = server.app.stores.jobs.list_jobs(Filter(owner=server.app.settings.owner, limit=100))
    assert sorted(str(job.name) for job in jobs) == ["1", "2", "3", "4"]


def test_a_crash_in_between_loses_nothing_and_makes_nothing_twice(make_server: Callable[..., Server]) -> None:
    """The leader ends after it has submitted a job; the next one starts from what the database has."""
    server = make_server(sweep_s=30, roles=Roles(scheduler=False))
    chain, submitter = chain_of(server.app), server.app.services.submitter
    begin(server)
    for _ in range(1, LAST):
        wait_until(lambda: not open_jobs(server))
        chain.crashes = 1
        with pytest.raises(KeyboardInterrupt):
            chain.advance(submitter)
        chain.advance(submitter)
    wait_until(lambda: numbers(server) == ["1", "2", "3", "4"])
    assert not open_jobs(server)


def open_jobs(server: Server) -> list[Any]:
    jobs = server.app.stores.jobs.list_jobs(Filter(owner=server.app.settings.owner, limit=100))
    return [job for job in jobs if not job.status.is_terminal]


def test_a_process_without_a_scheduler_calls_nobody(make_server: Callable[..., Server]) -> None:
    server = make_server(roles=Roles(scheduler=False))
    begin(server)
    wait_until(lambda: numbers(server) == ["1"])
    assert chain_of(server.app).calls == 0


# The thread


class Counting(ProductParts):
    def __init__(self, error: Exception | None = None) -> None:
        self.calls = 0
        self.error = error

    def advance(self, submitter: Submitter) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error


def advancer(leads: Callable[[], bool] = lambda: True, **products: ProductParts) -> Advancer:
    unused: Any = None
    return Advancer(products, lambda: unused, idle_s=lambda: 0.01, leads=leads, share=lambda: None)


def test_an_error_of_one_product_does_not_hold_the_others(caplog: pytest.LogCaptureFixture) -> None:
    broken, offline, well = Counting(ValueError("oh")), Counting(StorageError("no database")), Counting()
    it = advancer(broken=broken, offline=offline, well=well)
    it.start()
    wait_until(lambda: well.calls > 2)
    it.close()
    assert broken.calls > 2
    assert "a bug in the product broken" in caplog.text
    assert "the product offline could not submit its next jobs" in caplog.text


def test_only_the_leader_calls() -> None:
    leads, parts = threading.Event(), Counting()
    asked = threading.Event()

    def is_leader() -> bool:
        asked.set()
        return leads.is_set()

    it = advancer(is_leader, parts=parts)
    it.start()
    assert asked.wait(30)
    assert parts.calls == 0
    leads.set()
    wait_until(lambda: parts.calls)
    it.close()


def test_a_leader_that_cannot_be_known_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    answers = iter([StorageError("no database")])
    parts = Counting()

    def leads() -> bool:
        for error in answers:
            raise error
        return True

    it = advancer(leads, parts=parts)
    it.start()
    wait_until(lambda: parts.calls)
    it.close()
    assert "the leader is not known" in caplog.text


def test_products_without_next_jobs_need_no_thread() -> None:
    it = advancer(plain=ProductParts())
    it.start()
    assert "imagemill-advance" not in {thread.name for thread in threading.enumerate()}
    it.close()
