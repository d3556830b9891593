"""What is sent to fal, once, and what its refusals mean."""

import base64
import io
import struct
import time
import uuid
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest
from PIL import Image

from imagemill.backends.base import PaidBackend, RenderControl, RenderRequest, RenderResult
from imagemill.backends.fal.backend import FalBackend
from imagemill.backends.paid_calls import BudgetExceeded
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import Control, ImageSpec, Network, RenderSpec, Upscale
from imagemill.graphs.requirements import Requirement
from tests.backends.fal.support import Book, backend, settings
from tests.fal_server import FalServer, Reply
from tests.media.files import deep_png

FLUX = "urn:air:flux1:checkpoint:civitai:618692@691639"
NGINX = "<html><center>nginx</center></html>"


def spec(**changes: Any) -> ImageSpec:
    values: dict[str, Any] = {
        "prompt": "a red fox",
        "negative_prompt": "blurry",
        "model": FLUX,
        "model_path": "",
        "family": "flux1",
        "width": 64,
        "height": 48,
        "steps": 20,
        "cfg_scale": 3.5,
        "sampler": "euler",
        "scheduler": "normal",
        "seed": 7,
    }
    return ImageSpec(**(values | changes))


def order(work: RenderSpec | None = None, **changes: Any) -> RenderRequest:
    values: dict[str, Any] = {
        "job_id": "job-1",
        "attempt": 1,
        "reference": str(uuid.uuid4()),
        "node": "fal",
        "work": work or spec(),
        "timeout_s": 20.0,
    }
    return RenderRequest(**(values | changes))


def render(subject: FalBackend, asked: RenderRequest) -> RenderResult:
    return subject.follow(asked, subject.send(asked), RenderControl())


def failed(subject: FalBackend, asked: RenderRequest | None = None) -> BackendError:
    with pytest.raises(BackendError) as caught:
        render(subject, asked or order())
    return caught.value


def test_the_neutral_request_becomes_fals_input(fal: FalServer) -> None:
    rendered = render(backend(fal), order(spec(count=2, guidance=4.0)))
    asked = next(iter(fal.requests.values()))
    assert asked.path == "fal-ai/flux/dev"
    assert asked.input == {
        "prompt": "a red fox",
        "image_size": {"width": 64, "height": 48},
        "num_inference_steps": 20,
        "seed": 7,
        "guidance_scale": 4.0,
        "num_images": 2,
        "enable_safety_checker": True,
        "output_format": "png",
    }
    assert rendered.details["requestId"] == asked.id
    assert rendered.details["expectedCost"] == 0.05
    assert rendered.details["inferenceS"] == 0.0


def test_a_job_that_must_leave_nothing_is_refused(fal: FalServer) -> None:
    with pytest.raises(BackendError, match="submit it as private") as refused:
        backend(fal).send(order(leaves_nothing=True))
    assert refused.value.failure is FailureCode.BACKEND_REJECTED
    assert not fal.requests


def test_a_source_is_sent_in_the_size_of_the_picture(fal: FalServer) -> None:
    file = io.BytesIO()
    Image.new("RGB", (200, 100), "red").save(file, "JPEG")
    render(backend(fal), order(spec(image="image", denoise=0.4), inputs={"image": file.getvalue()}))
    asked = next(iter(fal.requests.values()))
    assert asked.path == "fal-ai/flux/dev/image-to-image"
    assert asked.input["strength"] == 0.4
    sent = Image.open(io.BytesIO(base64.b64decode(asked.input["image_url"].partition(",")[2])))
    assert sent.size == (64, 48)


def sent_levels(fal: FalServer, data: bytes) -> list[int]:
    """The red levels of the first row of the source that fal is sent."""
    plan = order(spec(image="image", width=256, height=64, denoise=0.4), inputs={"image": data})
    render(backend(fal), plan)
    asked = next(iter(fal.requests.values()))
    sent = Image.open(io.BytesIO(base64.b64decode(asked.input["image_url"].partition(",")[2])))
    return list(sent.convert("RGB").getchannel("R").tobytes()[:256])


def test_a_source_of_16_bits_keeps_its_levels(fal: FalServer) -> None:
    rows = b"".join(b"\0" + b"".join(struct.pack(">H", 257 * x) for x in range(256)) for _ in range(64))
    assert sent_levels(fal, deep_png((256, 64), 0, rows)) == list(range(256))


def test_what_is_transparent_in_a_source_is_sent_as_white(fal: FalServer) -> None:
    image = Image.new("RGBA", (256, 64), (0, 200, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 128, 64))
    file = io.BytesIO()
    image.save(file, "PNG")
    assert sent_levels(fal, file.getvalue()) == [0] * 128 + [255] * 128


def test_a_model_of_the_settings_gets_its_own_words(fal: FalServer) -> None:
    render(backend(fal), order(spec(model="urn:air:sd1:checkpoint:civitai:4384@128713", family="sd1")))
    asked = next(iter(fal.requests.values()))
    assert asked.path == "fal-ai/fast-sd1"
    assert asked.input["negative_prompt"] == "blurry"
    assert asked.input["expand_prompt"] is False


def test_a_checkpoint_of_the_source_fal_names_its_path(fal: FalServer) -> None:
    render(backend(fal), order(spec(model="urn:air:other:checkpoint:fal:acme/painter/v2/fast")))
    assert next(iter(fal.requests.values())).path == "acme/painter/v2/fast"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"networks": (Network("urn:air:flux1:lora:civitai:1@2", "lora"),)}, "networks"),
        ({"image": "image", "mask": "mask"}, "masks"),
        ({"controls": (Control("control-0"),)}, "ControlNets"),
        ({"upscale": Upscale("urn:air:other:upscaler:civitai:1@2", "x")}, "upscalers"),
        ({"format": "webp"}, "webp"),
        ({"width": 4096}, "from 16 to 2048 pixels"),
        ({"height": 50}, "multiples of 8"),
        ({"count": 9}, "4 pictures"),
        ({"model": "urn:air:wan:checkpoint:civitai:1@2"}, "no path"),
        ({"count": 4, "width": 2048, "height": 2048}, "above the limit"),
    ],
)
def test_what_it_cannot_do_it_says_beforehand(changes: dict[str, Any], word: str) -> None:
    assert word in (FalBackend(settings(), Book()).unsupported_reason(spec(**changes)) or "")


def test_a_path_without_a_price_is_refused_under_a_ceiling() -> None:
    work = spec(model="urn:air:other:checkpoint:fal:acme/painter")
    assert "IMAGEMILL_FAL__PRICES" in (FalBackend(settings(prices={}), Book()).unsupported_reason(work) or "")
    free = settings(prices={}, cost_per_job=None, cost_per_day=None)
    assert FalBackend(free, Book()).unsupported_reason(work) is None


def test_its_node_has_checkpoints_and_nothing_else() -> None:
    (node,) = FalBackend(settings(), Book()).nodes()
    assert node.available is not None
    assert FLUX in node.available
    assert "urn:air:flux1:lora:civitai:1@2" not in node.available
    assert str(Requirement("companions", "flux1/dev.safetensors")) in node.available
    assert str(Requirement("lora", "flux1/x.safetensors")) not in node.available
    assert "urn:air:wan:checkpoint:civitai:1@2" not in node.available


def test_a_call_is_written_before_it_is_sent_and_its_id_at_once_after(fal: FalServer) -> None:
    book = Book()
    reference = backend(fal, book).send(order())
    (call,) = book.calls.values()
    (asked,) = fal.requests.values()
    assert call.request_id == asked.id
    assert reference == f"fal:fal-ai/flux/dev:{asked.id}"
    assert book.ends == []


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(408), FailureCode.BACKEND_UNAVAILABLE),
        (Reply(409), FailureCode.BACKEND_UNAVAILABLE),
        (Reply(429, headers={"Retry-After": "7"}), FailureCode.BACKEND_UNAVAILABLE),
        (Reply(500), FailureCode.BACKEND_UNAVAILABLE),
        (Reply(503, text=NGINX), FailureCode.BACKEND_UNAVAILABLE),
        (Reply(400, "seed: is too odd"), FailureCode.BACKEND_REJECTED),
        (Reply(422, [{"type": "content_policy_violation", "msg": "no"}]), FailureCode.CONTENT_BLOCKED),
        (Reply(422, "no", error_type="content_policy_violation"), FailureCode.CONTENT_BLOCKED),
    ],
)
def test_a_refused_submission_is_typed_free_and_not_repeated(
    fal: FalServer, reply: Reply, code: FailureCode
) -> None:
    book = Book()
    fal.answer("submit", reply)
    error = failed(backend(fal, book))
    assert error.failure is code
    assert fal.asked("submit") == 1
    assert book.ends == ["refused"]
    assert book.free == {"call-0"}


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_kept_by_the_whole_node(fal: FalServer, form: str) -> None:
    subject = backend(fal)
    after = "70" if form == "seconds" else formatdate(time.time() + 70, usegmt=True)
    fal.answer("submit", Reply(429, headers={"Retry-After": after}))
    error = failed(subject)
    assert error.after_s == pytest.approx(70, abs=20)
    assert error.counts
    assert not subject.nodes()[0].healthy


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_shuts_the_node_and_costs_the_job_nothing(fal: FalServer, status: int) -> None:
    subject = backend(fal, shut_s=0.2)
    fal.answer("submit", Reply(status, "User is locked. Reason: Exhausted balance."))
    error = failed(subject)
    assert error.failure is FailureCode.BACKEND_UNAVAILABLE
    assert not error.counts
    (node,) = subject.nodes()
    assert not node.healthy
    assert "Exhausted balance" in node.problem
    assert "IMAGEMILL_FAL__KEY" in node.problem
    end = time.monotonic() + 30
    while not subject.nodes()[0].healthy:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert render(subject, order()).outputs


def test_a_submission_whose_answer_is_lost_is_not_repeated_by_the_client(fal: FalServer) -> None:
    book = Book()
    fal.answer("submit", Reply(accepts=True))
    assert failed(backend(fal, book)).failure is FailureCode.BACKEND_UNAVAILABLE
    assert fal.submits == 1
    assert book.ends == ["unknown"]
    assert not book.free, "it may have been accepted: its cost counts"


def test_a_server_that_is_not_there_was_not_paid(fal: FalServer) -> None:
    book = Book()
    error = failed(backend(fal, book, host="127.0.0.1:9"))
    assert error.failure is FailureCode.BACKEND_UNAVAILABLE
    assert book.ends == ["refused"]


def test_a_full_minute_sends_the_job_back_without_a_failure(fal: FalServer) -> None:
    subject = backend(fal, Book(over=BudgetExceeded("fal was asked 60 times in a minute", 12.0)))
    error = failed(subject)
    assert (error.after_s, error.counts) == (12.0, False)
    assert "60 times" in subject.nodes()[0].problem
    assert fal.submits == 0


def test_a_job_over_its_own_ceiling_fails(fal: FalServer) -> None:
    error = failed(backend(fal, Book(over=BudgetExceeded("above the ceiling", None))))
    assert error.failure is FailureCode.BACKEND_REJECTED
    assert fal.submits == 0


def test_another_process_collects_what_was_paid_for(fal: FalServer) -> None:
    book = Book()
    backend(fal, book).send(order())
    later = backend(fal, book)
    assert len(render(later, order(attempt=2)).outputs) == 1
    assert fal.submits == 1
    assert book.ends == ["succeeded"]


def test_a_kept_reference_is_followed_without_the_book(fal: FalServer) -> None:
    reference = backend(fal).send(order())
    later = backend(fal, Book())
    assert render(later, order(attempt=2, reference=reference)).outputs
    assert fal.submits == 1


def test_a_call_without_an_id_is_waited_for_and_then_given_up(fal: FalServer) -> None:
    book, subject = Book(), None
    subject = backend(fal, book, request_s=1.0)
    subject.send(order())
    book.calls["call-0"] = replace(book.calls["call-0"], request_id=None)
    error = failed(subject)
    assert not error.counts
    assert error.after_s is not None
    assert 0 < error.after_s <= 7.0
    assert fal.submits == 1
    book.calls["call-0"] = replace(book.calls["call-0"], sent_at=0)
    assert render(subject, order()).outputs
    assert book.ends == ["unknown", "succeeded"]


def test_a_bill_is_in_dollars_and_unknown_without_a_price():
    subject = FalBackend(settings(), Book())
    work = spec(width=1024, height=1024, count=2)
    assert isinstance(subject, PaidBackend)
    assert subject.bill(work) == pytest.approx(2 * 2 * 0.025)
    assert subject.bill(replace(work, family="sdxl", model=FLUX.replace("flux1", "sdxl"))) is None
