"""Tasks as jobs: values without files, files without a node, who runs them, and how they end."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from imagemill.backends.base import MOST_VALUES, RenderControl, RenderRequest
from imagemill.backends.builtin.backend import Builtin
from imagemill.backends.builtin.calls import Task, TaskCall, TaskResult, TaskServices
from imagemill.bootstrap.application import Roles
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import TaskSpec
from imagemill.media.sandbox import DecodersBusy
from tests.conftest import Server, image_job
from tests.tasks.support import data_url, download, encoded, halves, refused, run


def no_file(source: str) -> bytes:
    raise AssertionError(f"{source} is not needed")


def no_transform(*_: Any) -> Any:
    raise AssertionError("no transform is needed")


def order(task: str, **arguments: Any) -> RenderRequest:
    return RenderRequest("job-1", 1, "reference", "builtin", TaskSpec(task, arguments), 5.0)


def builtin(**tasks: Callable[[TaskCall], TaskResult]) -> Builtin:
    return Builtin(
        TaskServices(no_transform, no_file), tasks={name: Task(run) for name, run in tasks.items()}
    )


def test_a_message_comes_back_as_the_output_of_a_job_without_files(server: Server) -> None:
    job = run(server, "echo", message="hello")
    assert job["status"] == "succeeded"
    assert job["output"] == {"message": "hello"}
    assert job["artifacts"] == []
    assert (job["queue"], job["simulated"], job["cost"]) == ("tasks", False, 0.0)
    assert job["node"].startswith("builtin.")
    assert server.client.get(f"/api/v1/jobs/{job['id']}").json()["output"] == {"message": "hello"}


def test_a_picture_has_no_output_but_files(server: Server) -> None:
    (listed,) = server.submit(image_job()).json()["jobs"]
    assert "output" not in server.wait(listed["jobId"])


def test_the_values_are_in_the_last_event(server: Server) -> None:
    job = run(server, "echo", message="hello")
    events = server.client.get(f"/api/v1/jobs/{job['id']}/events?stream=false").json()["items"]
    assert events[-1]["data"]["output"] == {"message": "hello"}


def test_an_uploaded_picture_becomes_a_file(server: Server) -> None:
    data = encoded(halves())
    job = run(server, "imageUpload", image=data_url(data))
    (file,) = job["artifacts"]
    assert (file["mediaType"], file["width"], file["height"]) == ("image/png", 40, 20)
    assert download(server, job) == data


def test_a_text_is_too_long_for_an_echo(server: Server) -> None:
    assert "input.message" in refused(server, "echo", message="a" * 10_001)


def test_a_task_needs_no_node_and_runs_while_there_is_none(make_server: Callable[..., Server]) -> None:
    server = make_server(simulator={"enabled": "never"})
    assert run(server, "echo", message="alone")["status"] == "succeeded"
    health = server.client.get("/health").json()
    assert health["problems"] == ["no node takes jobs"]
    assert health["nodes"] == []


def test_a_node_that_is_asked_for_runs_no_task(server: Server) -> None:
    body = {"$type": "textToImage", "providers": ["builtin"], **image_job()}
    answer = server.client.post("/v1/consumer/jobs", json=body)
    assert answer.status_code == 400
    assert "names no backend of this server; it has comfyui, simulator" in answer.text


def test_a_large_output_is_a_failure_that_says_its_size() -> None:
    backend = builtin(long=lambda call: TaskResult(values={"text": "a" * MOST_VALUES}))
    with pytest.raises(BackendError, match=f"at most {MOST_VALUES} are kept") as caught:
        backend.follow(order("long"), "reference", RenderControl())
    assert caught.value.failure is FailureCode.OUTPUT_LIMIT


def test_a_busy_pool_is_tried_again_later() -> None:
    def busy(call: TaskCall) -> TaskResult:
        raise DecodersBusy("all are busy")

    with pytest.raises(BackendError) as caught:
        builtin(busy=busy).follow(order("busy"), "reference", RenderControl())
    assert caught.value.failure is FailureCode.BACKEND_UNAVAILABLE


def test_a_task_is_cancelled_while_it_runs(make_server: Callable[..., Server]) -> None:
    begun, over = threading.Event(), threading.Event()

    def hang(call: TaskCall) -> TaskResult:
        begun.set()
        over.wait(20)
        return TaskResult()

    def prepare(app: Any) -> None:
        app.backends["builtin"]._tasks = {"echo": Task(hang)}

    server = make_server(prepare=prepare)
    job = server.client.post("/api/v1/jobs", json={"recipe": "echo", "input": {"message": "slow"}}).json()
    assert begun.wait(10)
    assert server.client.post(f"/api/v1/jobs/{job['id']}/cancel").status_code == 200
    assert server.wait(job["id"])["status"] == "canceled"
    over.set()


def test_an_unknown_task_is_refused_in_words() -> None:
    assert builtin(echo=lambda call: TaskResult()).unsupported_reason(TaskSpec("paint")) == (
        "there is no task paint; there are echo"
    )


def test_a_worker_of_another_queue_runs_tasks_too(make_server: Callable[..., Server]) -> None:
    server = make_server(roles=Roles(queues=frozenset({"gpu"})))
    assert run(server, "echo", message="hello")["status"] == "succeeded"


def test_labels_of_nodes_do_not_keep_a_task_waiting(server: Server) -> None:
    body = {"recipe": "echo", "input": {"message": "hello"}, "labels": ["fast"]}
    answer = server.client.post("/api/v1/jobs", json=body, params={"wait": "true"})
    assert answer.json()["status"] == "succeeded"


def test_a_task_does_not_count_in_the_health_of_nodes(server: Server) -> None:
    health = server.client.get("/health").json()
    assert all(node["backend"] != "builtin" for node in health["nodes"])


def test_backends_that_render_refuse_tasks_in_words(server: Server) -> None:
    for name in ("comfyui", "simulator"):
        reason = server.app.backends[name].unsupported_reason(TaskSpec("echo", {"message": "hello"}))
        assert "the task echo" in (reason or "")
