"""Models of other vendors at fal: the path, the arguments, the pictures and the price of a request."""

import base64
from typing import Any

import pytest

from imagemill.domain.images import ImageSpec, RemoteCall
from tests.backends.fal.support import backend, settings
from tests.backends.fal.test_sending import order, render, spec
from tests.fal_server import FalServer
from tests.service.build import png

PATH = "fal-ai/nano-banana-2/edit"


def remote(**changes: Any) -> ImageSpec:
    call: dict[str, Any] = {"path": PATH, "arguments": {"resolution": "1K"}}
    model = f"urn:air:google:checkpoint:fal:{PATH}"
    return spec(model=model, family="google", negative_prompt="", remote=RemoteCall(**(call | changes)))


def test_the_endpoint_gets_its_own_arguments_with_the_pictures(fal: FalServer) -> None:
    arguments = {"image_urls": ["{picture-0}", "{picture-1}"], "aspect_ratio": "16:9", "seed": 0}
    work = remote(arguments=arguments, pictures=("picture-0", "picture-1"))
    files = {"picture-0": png(8, 8), "picture-1": png(9, 9)}
    render(backend(fal), order(work, inputs=files))
    asked = next(iter(fal.requests.values()))
    assert asked.path == PATH
    assert asked.input == {
        "prompt": "a red fox",
        "aspect_ratio": "16:9",
        "seed": 7,
        "image_urls": [f"data:image/png;base64,{base64.b64encode(data).decode()}" for data in files.values()],
    }


def test_pictures_within_objects_are_filled_in(fal: FalServer) -> None:
    styles = [{"image_url": "{picture-0}", "strength": 0.5}]
    work = remote(arguments={"image_style_references": styles}, pictures=("picture-0",))
    render(backend(fal), order(work, inputs={"picture-0": png()}))
    (sent,) = next(iter(fal.requests.values())).input["image_style_references"]
    assert sent["image_url"].startswith("data:image/png;base64,")
    assert sent["strength"] == 0.5


@pytest.mark.parametrize(("checker", "sent"), [(True, True), (False, False)])
def test_the_operator_decides_about_the_safety_checker(fal: FalServer, checker: bool, sent: bool) -> None:
    work = remote(arguments={"enable_safety_checker": not checker})
    render(backend(fal, safety_checker=checker), order(work))
    assert next(iter(fal.requests.values())).input["enable_safety_checker"] is sent


def test_a_higher_resolution_costs_its_factor(fal: FalServer) -> None:
    prices = {PATH: {"per_image": 0.08}}
    assert backend(fal, prices=prices).bill(remote()) == 0.08
    assert backend(fal, prices=prices).bill(remote(cost_factor=2.0)) == 0.16


def test_without_a_price_it_is_refused_whatever_the_ceilings(fal: FalServer) -> None:
    free = backend(fal, prices={}, cost_per_job=None, cost_per_day=None)
    assert (
        free.unsupported_reason(remote())
        == f"the price of fal's {PATH} is not known: set it in IMAGEMILL_FAL__PRICES"
    )


def test_a_request_above_the_ceiling_is_refused_with_the_settings(fal: FalServer) -> None:
    dear = backend(fal, prices={PATH: {"per_image": 0.3}}, cost_per_job=0.25)
    reason = dear.unsupported_reason(remote()) or ""
    assert "0.3000 dollars" in reason
    assert "IMAGEMILL_FAL__COST_PER_JOB" in reason


def test_settings_name_another_path_by_the_air(fal: FalServer) -> None:
    models = {f"urn:air:google:checkpoint:fal:{PATH}": {"path": "our/gateway"}}
    subject = backend(fal, models=models, prices={"our/gateway": {"per_image": 0.01}})
    assert subject.bill(remote()) == 0.01
    render(subject, order(remote()))
    assert next(iter(fal.requests.values())).path == "our/gateway"


def test_a_size_off_the_grid_is_the_endpoints_own_affair() -> None:
    from imagemill.backends.fal import mapping

    sized = remote(arguments={"image_size": {"width": 250, "height": 250}})
    assert mapping.unsupported_reason(settings(), sized) is None
