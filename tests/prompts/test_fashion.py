"""The model library's grid, its prompts and the names of its cells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.domain.errors import InvalidInput
from imagemill.products.library.grid import PARAMETERS, list_cells, make_cell, parse_filter

ONE = {
    "gender": "female",
    "age_range": "20-30",
    "body_type": "plus-size",
    "pose": "front standing",
    "style": "casual",
}


def test_the_prompt_has_its_order_and_its_tail():
    assert make_cell(ONE).prompt == (
        "fashion model, female, 20-30 years old, plus-size body type, front standing pose, "
        "casual style photo, full body shot, neutral white/gray background, professional studio lighting, "
        "high quality, 8k, detailed, clean composition"
    )


def test_the_grid_has_288_cells_each_with_a_name_of_its_own():
    cells = list_cells()
    assert len(cells) == 288
    assert len({one.template_id for one in cells}) == 288
    assert max(len(one.template_id) for one in cells) <= 100
    assert len({one.prompt for one in cells}) == 288
    assert cells == list_cells()


def test_the_name_of_a_cell_is_a_slug_of_its_values():
    assert make_cell(ONE).template_id == "female-20-30-plus-size-front-standing-casual"


def test_filters_narrow_the_grid():
    cells = list_cells(parse_filter("gender=female,style=casual"))
    assert len(cells) == 48
    assert {(one.gender, one.style) for one in cells} == {("female", "casual")}
    assert list_cells(parse_filter(" pose=front-standing , age_range=30-40"))[0].pose == "front standing"
    assert len(list_cells(parse_filter(""))) == 288


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ("gender=other", "gender: should be one of male, female"),
        (
            "colour=red",
            "colour: is not a parameter; the parameters are gender, age_range, body_type, pose, style",
        ),
        ("gender", "grid: should be name=value"),
        ("gender=male,gender=female", "gender: is given twice"),
    ],
)
def test_wrong_filters_name_the_field_and_what_is_allowed(filters: str, says: str):
    with pytest.raises(InvalidInput, match=says):
        list_cells(parse_filter(filters))


def test_all_faults_of_a_cell_are_named_at_once():
    with pytest.raises(InvalidInput) as caught:
        make_cell({"gender": "x", "age_range": "20-30", "pose": "side", "size": "m"})
    assert sorted(error.path for error in caught.value.errors) == ["body_type", "gender", "size", "style"]


@given(st.text(max_size=60))
def test_any_filter_is_read_or_refused(text: str):
    try:
        wanted = parse_filter(text)
    except InvalidInput:
        return
    assert all(value in PARAMETERS[name] for name, value in wanted.items())
