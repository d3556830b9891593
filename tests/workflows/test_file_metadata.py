"""The facts that the header of a model file tells."""

import json
from typing import Any

import pytest

from imagemill.graphs.file_metadata import FileMetadata, read_metadata


def frequencies(**folders: dict[str, Any]) -> dict[str, str]:
    return {"ss_tag_frequency": json.dumps(folders)}


def test_a_standard_header_gives_architecture_title_and_phrase():
    found = read_metadata(
        {
            "modelspec.architecture": "flux-1-dev/lora",
            "modelspec.title": "Paper\n  cut",
            "modelspec.trigger_phrase": "papercut style",
            "ss_base_model_version": "flux1",
            "ss_tag_frequency": json.dumps({"1_x": {"zzz": 9}}),
        }
    )
    assert found == FileMetadata("flux-1-dev/lora", "flux1", "Paper cut", ("papercut style",))


def test_without_a_phrase_the_tags_of_all_pictures_are_the_trigger_words():
    header = {
        **frequencies(**{"10_fox": {"foxy vale": 20, "snow": 9, "1girl": 20, "red scarf": 19}}),
        "ss_dataset_dirs": json.dumps({"10_fox": {"n_repeats": 10, "img_count": 20}}),
    }
    assert read_metadata(header).trigger_words == ("foxy vale", "red scarf")


def test_without_the_number_of_pictures_the_most_frequent_tag_counts():
    assert read_metadata(frequencies(a={"inkwash": 40, "tree": 12})).trigger_words == ("inkwash",)


def test_words_of_several_folders_are_kept_once_and_a_few():
    header = frequencies(**{f"{n}_x": {"Same": 3, f"word {n}": 3} for n in range(9)})
    assert read_metadata(header).trigger_words == ("Same", "word 0", "word 1", "word 2", "word 3")


def test_the_name_of_the_output_stands_in_for_a_title():
    assert read_metadata({"ss_output_name": "fox_v2"}).title == "fox_v2"


@pytest.mark.parametrize(
    "header",
    [
        None,
        [],
        "text",
        {},
        {"modelspec.architecture": 7, "modelspec.title": None, "ss_base_model_version": "None"},
        {"ss_tag_frequency": "{broken"},
        {"ss_tag_frequency": "[1, 2]"},
        {"ss_tag_frequency": "[" * 100_000},
        {"ss_tag_frequency": json.dumps({"a": {"x": "many"}, "b": 3})},
        {"ss_tag_frequency": json.dumps({"a": {"x": True}})},
    ],
)
def test_what_cannot_be_read_is_left_out(header: object):
    assert read_metadata(header) == FileMetadata()


def test_texts_are_short_and_printable():
    found = read_metadata({"modelspec.title": "a\x00b\x1b[31m" + "c" * 5000})
    assert found.title.startswith("a b [31mccc")
    assert len(found.title) == 200
