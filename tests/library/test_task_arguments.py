"""The arguments of the Celery tasks: by name, by place, and lists in a grid."""

from typing import Any

import pytest

from imagemill.domain.errors import InvalidInput
from imagemill.products.library.grid import list_cells
from imagemill.products.library.tasks import _with_names as with_names

CELL = ("female", "20-30", "slim", "side", "casual")


@pytest.mark.parametrize(
    ("task", "positional", "named", "expected"),
    [
        ("generate_model", [], {"gender": "male"}, {"gender": "male"}),
        (
            "generate_model",
            list(CELL),
            {"save": False},
            {
                "gender": "female",
                "age_range": "20-30",
                "body_type": "slim",
                "pose": "side",
                "style": "casual",
                "save": False,
            },
        ),
        ("batch_generate", [3, {"pose": "side"}], {}, {"count": 3, "grid": {"pose": "side"}}),
        ("edit_model", ["id", "smiling"], {"seed": 1}, {"model_id": "id", "prompt": "smiling", "seed": 1}),
    ],
)
def test_arguments_without_names_have_an_order(
    task: str, positional: list[Any], named: dict[str, Any], expected: dict[str, Any]
) -> None:
    given = {"*": positional, **named} if positional else named
    assert with_names(task, given) == expected


@pytest.mark.parametrize(
    ("task", "given", "words"),
    [
        ("edit_model", {"*": ["id", "smiling", 3]}, "at most 2"),
        ("health_check", {"*": [1]}, "takes none"),
        ("generate_model", {"*": ["female"], "gender": "male"}, "given twice"),
    ],
)
def test_wrong_arguments_without_names_are_refused(task: str, given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        with_names(task, given)


def test_a_value_of_a_grid_may_be_a_list() -> None:
    found = list_cells({"pose": ["walking", "side", "side"], "gender": "female", "style": ["casual"]})

    assert {(cell.pose, cell.gender, cell.style) for cell in found} == {
        ("side", "female", "casual"),
        ("walking", "female", "casual"),
    }
    assert len(found) == len(set(found)) == 2 * 3 * 4


@pytest.mark.parametrize(
    ("grid", "field", "words"),
    [
        ({"pose": []}, "pose", "or a list of them"),
        ({"pose": ["side", "flying"]}, "pose", "should be one of"),
        ({"pose": [1]}, "pose", "should be one of"),
        ({"pose": 5}, "pose", "or a list of them"),
        ({"poze": ["side"]}, "poze", "is not a parameter"),
    ],
)
def test_a_wrong_value_of_a_grid_is_refused(grid: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        list_cells(grid)
    [error] = refused.value.errors
    assert (error.path, words in error.message) == (field, True)
