"""Refusals and failures of a node, read into typed causes."""

import json
from typing import Any

import pytest

from imagemill.backends.comfyui import errors
from imagemill.backends.comfyui.errors import NODE_FAILURES, ComfyStatusError, File, PromptStatus
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode

TITLES = {"3": "Sampler", "4": "Load model"}


def refused(body: dict[str, Any]) -> BackendError:
    return errors.rejection("gpu-1", ComfyStatusError(400, "", json.dumps(body).encode()), TITLES)


def node_error(kind: str, message: str, details: str, **about: Any) -> dict[str, Any]:
    error = {"type": kind, "message": message, "details": details, "extra_info": about}
    head = {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation"}
    return {"error": head, "node_errors": {"4": {"errors": [error], "class_type": "CheckpointLoaderSimple"}}}


def test_a_model_the_node_does_not_list_is_a_missing_model_that_is_named() -> None:
    error = refused(
        node_error(
            "value_not_in_list", "Value not in list", "", input_name="ckpt_name", received_value="x.ckpt"
        )
    )
    assert error.failure is FailureCode.MISSING_MODEL
    assert str(error) == "gpu-1: node 4 (Load model): ckpt_name x.ckpt is missing"


def test_another_value_that_is_not_listed_is_an_invalid_graph() -> None:
    error = refused(
        node_error("value_not_in_list", "Value not in list", "sampler_name: 'x'", input_name="sampler_name")
    )
    assert error.failure is FailureCode.INVALID_GRAPH


@pytest.mark.parametrize(
    ("kind", "message", "about"),
    [
        ("missing_node_type", "Node 'Fancy' not found.", {"class_type": "PowerLora"}),
        ("invalid_prompt", "Cannot execute because node PowerLora does not exist.", {}),
    ],
)
def test_an_unknown_class_is_a_missing_node_in_both_spellings(
    kind: str, message: str, about: dict[str, Any]
) -> None:
    error = refused({"error": {"type": kind, "message": message, "extra_info": about}, "node_errors": {}})
    assert error.failure is FailureCode.MISSING_NODE
    assert "PowerLora" in str(error)


def test_any_other_refusal_names_node_and_reason() -> None:
    error = refused(node_error("value_bigger_than_max", "Value 9 bigger than max of 8", "width"))
    assert error.failure is FailureCode.INVALID_GRAPH
    assert str(error) == "gpu-1: node 4 (Load model): Value 9 bigger than max of 8: width"


def test_a_refusal_that_is_no_json_is_still_a_typed_one() -> None:
    error = errors.rejection("gpu-1", ComfyStatusError(400, "", b"<html>"), {})
    assert error.failure is FailureCode.INVALID_GRAPH


def failed(message: str, kind: str = "RuntimeError", node_type: str = "KSampler") -> BackendError:
    data = {"node_id": "3", "node_type": node_type, "exception_message": message, "exception_type": kind}
    return errors.execution_failure("gpu-1", data, TITLES)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("torch.OutOfMemoryError", "Allocation on device"),
        ("torch.cuda.OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 GiB"),
        ("RuntimeError", "MPS backend out of memory (MPS allocated: 8 GB)"),
        ("RuntimeError", "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory"),
        (
            "RuntimeError",
            "Could not allocate tensor with 4 bytes. There is not enough GPU video memory available!",
        ),
        ("RuntimeError", "Invalid buffer size: 32.00 GB"),
        ("RuntimeError", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        ("RuntimeError", "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear"),
    ],
)
def test_memory_that_ran_out_is_recognised_however_it_is_said(kind: str, message: str) -> None:
    assert failed(message, kind).failure is FailureCode.OUT_OF_MEMORY


def test_an_execution_error_names_title_and_message() -> None:
    error = failed("expected 4 channels, but got 16 channels instead\n")
    assert error.failure is FailureCode.INVALID_GRAPH
    assert str(error) == "gpu-1: node 3 (Sampler): expected 4 channels, but got 16 channels instead"


def test_a_sick_device_speaks_against_the_node() -> None:
    code = failed("CUDA error: an illegal memory access").failure
    assert code is FailureCode.DEVICE_ERROR
    assert code in NODE_FAILURES


def test_a_broken_model_file_is_looked_for_elsewhere() -> None:
    error = failed("Error while deserializing header: incomplete metadata", "SafetensorError", "LoraLoader")
    assert error.failure is FailureCode.MISSING_MODEL


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            "cannot identify image file '/home/ann/ComfyUI/input/a.png'\n",
            "cannot identify image file 'a.png'",
        ),
        (r"no file C:\Users\Ann\models\x.ckpt here", "no file x.ckpt here"),
        ("no file D:/models/x.ckpt", "no file x.ckpt"),
        ("bad ~/models/x.ckpt", "bad x.ckpt"),
        (r"no file C:\Users\Jane Doe\models\x y.ckpt here", "no file x y.ckpt here"),
        (r"[Errno 2] 'C:\\Users\\Jane Doe\\x y.ckpt'", "[Errno 2] 'x y.ckpt'"),
        ("cannot open '/home/ann lee/in put/my pic.png'", "cannot open 'my pic.png'"),
        (r"\\nas01\ann lee\x.safetensors is gone", "x.safetensors is gone"),
        ("//nas01/share/x.safetensors is gone", "x.safetensors is gone"),
        ("file:///home/ann/a.pt and file:///C:/ann/b.pt", "a.pt and b.pt"),
        ("Invalid image file: https://e.com/in/a.png", "Invalid image file: https://e.com/in/a.png"),
        ("s3://bucket/key is gone", "s3://bucket/key is gone"),
        ("3/4 done, and/or 16:9, a / b", "3/4 done, and/or 16:9, a / b"),
        ('boom\nTraceback (most recent call last):\n  File "/srv/a.py", line 3\n', "boom"),
    ],
)
def test_server_paths_and_tracebacks_are_removed(message: str, shown: str) -> None:
    assert errors.clean_message(message) == shown


def test_a_message_without_end_is_clipped() -> None:
    assert len(errors.clean_message("x" * 10_000)) == errors.LONGEST


def history(status: str, *messages: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    listed = [list(message) for message in messages]
    done = status == "success"
    return {"outputs": {}, "status": {"status_str": status, "completed": done, "messages": listed}}


def test_failed_and_interrupted_are_told_apart_by_the_last_message() -> None:
    interrupted = history("error", ("execution_start", {}), ("execution_interrupted", {"node_id": "3"}))
    assert errors.result_of(interrupted).status is PromptStatus.INTERRUPTED
    outcome = errors.result_of(history("error", ("execution_error", {"node_id": "3"})))
    assert (outcome.status, outcome.error) == (PromptStatus.FAILED, {"node_id": "3"})
    assert errors.result_of(history("success")).status is PromptStatus.SUCCESS


def image(name: str, kind: str = "output") -> dict[str, str]:
    return {"filename": name, "subfolder": "sub", "type": kind}


def test_files_come_in_the_order_of_the_graph() -> None:
    outputs = {"9": {"images": [image("b.png"), image("c.png")]}, "12": {"gifs": [image("a.mp4")]}}
    listed = [file.name for file in errors.files_of(outputs, ["12", "9"])]
    assert listed == ["a.mp4", "b.png", "c.png"]


def test_what_is_only_shown_is_delivered_when_nothing_else_is() -> None:
    shown = {"2": {"images": [image("p.png", "temp")]}}
    assert list(errors.files_of(shown, ["2"])) == [File("p.png", "sub", "temp")]
    both = shown | {"3": {"images": [image("s.png")]}}
    assert list(errors.files_of(both, ["2", "3"])) == [File("s.png", "sub", "output")]


def test_outputs_that_are_no_files_are_passed_over() -> None:
    outputs: dict[str, Any] = {
        "2": {"text": ["hello"], "animated": [True], "images": [{"filename": ""}, None]}
    }
    assert list(errors.files_of(outputs, ["2"])) == []
