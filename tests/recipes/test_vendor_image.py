"""The recipe ``vendorImage``: only endpoints and arguments of the table, so that prices hold."""

from typing import Any

import pytest

from imagemill.dialects.civitai_v2 import vendor_recipe
from imagemill.dialects.civitai_v2.vendor_recipe import VendorImage
from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import ImageSpec
from tests.recipes.test_text_to_image import Shelf

PATH = "fal-ai/nano-banana-pro"


def planned(**input_: Any) -> ImageSpec:
    given = VendorImage(**{"endpoint": PATH, "prompt": "a fox", **input_})
    work = vendor_recipe.plan(vendor_recipe.complete(given, Shelf(), "input.")).work
    assert isinstance(work, ImageSpec)
    return work


def test_an_unknown_endpoint_is_refused():
    with pytest.raises(InvalidInput, match=r"input\.endpoint: is 'fal-ai/kling-video'"):
        planned(endpoint="fal-ai/kling-video")


def test_an_argument_that_the_endpoint_does_not_have_is_refused():
    with pytest.raises(InvalidInput, match=r"input\.arguments\.num_images: is no argument of"):
        planned(arguments={"num_images": 100})


def test_the_price_counts_the_resolution():
    factors = [planned(arguments={"resolution": word}).remote for word in ("1K", "4K")]
    assert [each.cost_factor for each in factors if each] == [1.0, 2.0]


def test_the_size_that_prices_count_is_the_requested_one():
    sized = planned(endpoint="fal-ai/flux-2-pro", arguments={"image_size": {"width": 2048, "height": 1024}})
    assert (sized.width, sized.height) == (2048, 1024)
    assert (planned().width, planned().height) == (1024, 1024)


def test_the_seed_is_drawn_when_it_is_accepted():
    assert 0 <= planned().seed < 2**32
    assert planned(seed=5).seed == 5
