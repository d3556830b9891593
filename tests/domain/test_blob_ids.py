"""Blob ids of Civitai v2."""

import pytest

from imagemill.domain.blob_keys import OutputId, UploadId, blob_id, input_key, owner_hash, parse_blob_id
from imagemill.domain.clock import uuid7

JOB = "0192f3a4-0000-7000-8000-0000000000ff"
DIGEST = "ab" * 32


@pytest.mark.parametrize(
    ("job_id", "position", "extension", "id_"),
    [
        (JOB, 0, "png", "01JBST8000E00800000000007Z.png"),
        (JOB, 3, "webp", "01JBST8000E00800000000007Z-3.webp"),
        ("ffffffff-ffff-ffff-ffff-ffffffffffff", 12, "mp4", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ-12.mp4"),
        ("00000000-0000-0000-0000-000000000000", 0, "jpeg", "00000000000000000000000000.jpeg"),
    ],
)
def test_an_id_is_26_digits_with_the_position_and_the_extension(
    job_id: str, position: int, extension: str, id_: str
):
    assert blob_id(job_id, position, extension) == id_
    assert parse_blob_id(id_) == OutputId(job_id, position)
    assert parse_blob_id(id_.lower()) == OutputId(job_id, position)


def test_ids_sort_by_the_time_of_their_jobs():
    jobs = [uuid7(instant * 1000) for instant in (1, 2, 10**12)]
    assert sorted(blob_id(job, 0, "png") for job in reversed(jobs)) == [
        blob_id(job, 0, "png") for job in jobs
    ]


def test_the_id_of_an_upload_is_the_name_of_its_file():
    found = parse_blob_id(f"{DIGEST}.jpeg")
    assert found == UploadId(DIGEST, "jpeg")
    assert found.key(owner_hash("alice")) == input_key("alice", DIGEST, "jpeg")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "01JBST8000E00800000000007Z",
        "01JBST8000E00800000000007Z.",
        "01JBST8000E00800000000007Z-0.png",
        "01JBST8000E00800000000007Z-03.png",
        "01JBST8000E00800000000007Z-99999.png",
        "01JBST8000E00800000000007Z.png.zip",
        "01JBST8000E00800000000007Z.png\n",
        "01JBST8000E0080000000000IL.png",
        "8ZZZZZZZZZZZZZZZZZZZZZZZZZ.png",
        "1JBST8000E00800000000007Z.png",
        f"{DIGEST}.gif",
        f"{DIGEST.upper()}.png",
        f"{DIGEST}/../x.png",
        "../../etc/passwd",
        "01JBST8000E00800000000007\N{LATIN SMALL LETTER DOTLESS I}.png",
    ],
)
def test_any_other_text_is_no_blob_id(text: str):
    assert parse_blob_id(text) is None
