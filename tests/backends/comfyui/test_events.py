"""Frames of a socket, read."""

import json
import struct
from typing import Any

import pytest

from imagemill.backends.comfyui import events

PROMPT = "0b6a7d5e-6d0f-4c8e-9a53-3f1f4e1f7a10"


def text(kind: str, **data: Any) -> str:
    return json.dumps({"type": kind, "data": data})


@pytest.mark.parametrize(
    ("frame", "event"),
    [
        (text("status", status={"exec_info": {"queue_remaining": 3}}, sid="a"), events.Status(3)),
        (text("execution_start", prompt_id=PROMPT, timestamp=1), events.Started(PROMPT)),
        (
            text("execution_cached", nodes=["4", "5"], prompt_id=PROMPT, timestamp=1),
            events.Cached(PROMPT, ("4", "5")),
        ),
        (text("executing", node="3", display_node="3", prompt_id=PROMPT), events.Executing(PROMPT, "3")),
        (text("executing", node=None, prompt_id=PROMPT), events.Executing(PROMPT, None)),
        (text("progress", value=2, max=6, prompt_id=PROMPT, node="3"), events.Step(PROMPT, "3", 2, 6)),
        (
            text("execution_success", prompt_id=PROMPT, timestamp=1),
            events.PromptEnded(PROMPT, succeeded=True),
        ),
        (
            text("executed", node="9", display_node="9", output={"images": []}, prompt_id=PROMPT),
            events.Executed(PROMPT, "9", {"images": []}),
        ),
        (text("executed", node="9", output=None, prompt_id=PROMPT), events.Executed(PROMPT, "9", None)),
        (text("execution_error", prompt_id=PROMPT, node_id="3"), events.PromptEnded(PROMPT)),
        (text("execution_interrupted", prompt_id=PROMPT, node_id="3"), events.PromptEnded(PROMPT)),
    ],
)
def test_a_text_frame_becomes_its_event(frame: str, event: events.Event) -> None:
    assert events.read_text(frame) == event


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{",
        "[]",
        "null",
        '{"type": "status"}',
        text("status", status=None),
        text("executing", node="3"),
        text("progress", value="many", max=6, prompt_id=PROMPT, node="3"),
        text("progress", value=1, max=6, prompt_id=None, node="3"),
        text("progress_state", prompt_id=PROMPT, nodes={}),
        text("something_new", prompt_id=PROMPT),
    ],
)
def test_a_broken_or_unknown_text_frame_is_no_event(frame: str) -> None:
    assert events.read_text(frame) is None


def test_a_frame_that_only_repeats_is_recognised_by_its_beginning() -> None:
    assert events.is_repetition(text("progress_state", prompt_id=PROMPT, nodes={}))
    assert not events.is_repetition(text("progress", prompt_id=PROMPT))


def test_the_prompt_of_a_frame_is_found_without_reading_it() -> None:
    assert events.prompt_of(text("executing", node=None, prompt_id=PROMPT)) == PROMPT
    assert events.prompt_of(text("status", status={})) is None


def test_a_plain_preview_is_a_picture_of_whatever_runs() -> None:
    frame = events.read_binary(struct.pack(">II", 1, 1) + b"\xff\xd8jpeg")
    assert frame == events.Frame(b"\xff\xd8jpeg", "image/jpeg")
    sent = events.read_binary(struct.pack(">II", 1, 2) + b"\x89PNG")
    assert sent == events.Frame(b"\x89PNG", "image/png")


def test_a_preview_with_metadata_names_its_prompt_and_node() -> None:
    about = json.dumps({"node_id": "3", "prompt_id": PROMPT, "image_type": "image/jpeg"}).encode()
    frame = events.read_binary(struct.pack(">II", 4, len(about)) + about + b"\xff\xd8jpeg")
    assert frame == events.Frame(b"\xff\xd8jpeg", "image/jpeg", "3", PROMPT)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\0\0",
        struct.pack(">I", 1),
        struct.pack(">II", 1, 9) + b"?",
        struct.pack(">II", 4, 400) + b"{}",
        struct.pack(">II", 3, 1) + b"3text",
        struct.pack(">II", 77, 1),
    ],
)
def test_a_broken_or_unknown_binary_frame_is_no_event(frame: bytes) -> None:
    assert events.read_binary(frame) is None
