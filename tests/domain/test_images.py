"""What a render is expected to cost."""

from dataclasses import replace

from imagemill.domain.images import GraphSpec, ImageSpec, render_cost_s

SPEC = ImageSpec("a lighthouse", "", "m", "m.safetensors", "sd1", 512, 512, 20, 7.0, "euler", "normal", 42)


def test_a_render_costs_more_with_more_pixels_steps_and_pictures():
    assert render_cost_s(SPEC) == 1.0
    assert render_cost_s(replace(SPEC, width=1024, height=1024, steps=40, count=2)) == 16.0
    assert render_cost_s(replace(SPEC, width=8, height=8, steps=1)) == 0.05
    assert render_cost_s(GraphSpec({}, count=2)) == 8.0
