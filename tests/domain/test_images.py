"""What a render is expected to cost."""

from dataclasses import replace

from imagemill.domain.images import RenderSize, render_cost_s

SIZE = RenderSize(512 * 512 / 1e6, 20)


def test_a_render_costs_more_with_more_pixels_steps_and_pictures():
    assert render_cost_s(SIZE) == 1.0
    assert render_cost_s(RenderSize(1024 * 1024 / 1e6, 40, 2)) == 16.0
    assert render_cost_s(replace(SIZE, megapixels=0.001, steps=1)) == 0.05
    assert render_cost_s(replace(SIZE, steps=0, quantity=2)) == 2.0
