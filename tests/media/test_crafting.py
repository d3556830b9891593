"""What comes back from the process that works on pictures."""

import pytest

from imagemill.media.layout import InvalidImage
from imagemill.media.transforms import OutputFile, unpack_files

HEAD = {"files": [{"type": "image/webp", "width": 2, "height": 3, "role": "picture", "size": 4}]}


def test_the_files_of_an_answer_are_read():
    assert unpack_files(HEAD, b"abcd") == (OutputFile(b"abcd", "image/webp", 2, 3),)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (HEAD, b"abc"),
        (HEAD, b"abcde"),
        ({}, b""),
        ({"files": []}, b""),
        ({"files": [{}]}, b""),
        ({"files": [1]}, b""),
        ({"files": 7}, b""),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(head: dict[str, object], body: bytes):
    with pytest.raises(InvalidImage):
        unpack_files(head, body)
