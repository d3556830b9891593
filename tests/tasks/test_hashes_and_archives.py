"""The recipes mediaHash and blobArchive."""

import io
import math
import tarfile
import zipfile
from random import Random
from statistics import median

import pytest
from PIL import Image

from imagemill.backends.base import RenderCanceled, RenderRequest
from imagemill.backends.builtin import pixel_tasks
from imagemill.backends.builtin.calls import TaskCall, TaskServices
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import TaskSpec
from imagemill.media.hashes import cosine_hash, difference_hash
from imagemill.recipes.tasks.file_tasks import safe_name
from tests.conftest import Server
from tests.tasks.support import data_url, download, encoded, halves, painted, refused, run


def photo(brightness: int = 0, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Soft spots of random but repeatable colours."""
    random = Random(5)
    spots = painted(16, 12, lambda *_: (random.randrange(200), random.randrange(200), random.randrange(200)))
    soft = spots.resize(size, Image.Resampling.BICUBIC)
    return soft.point([min(255, level + brightness) for level in range(256)] * 3)


def distance(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


def test_each_hash_has_its_length_and_one_picture_always_the_same(server: Server) -> None:
    image = data_url(encoded(photo()))
    types = ["perceptual", "perceptualDct", "perceptualDct256"]
    hashes = run(server, "mediaHash", image=image, types=types)["output"]["hashes"]
    assert {name: len(value) for name, value in hashes.items()} == dict(zip(types, (16, 16, 64), strict=True))
    assert run(server, "mediaHash", image=image)["output"]["hashes"] == hashes
    assert run(server, "mediaHash", image=image)["artifacts"] == []


def test_only_the_types_asked_for_are_made(server: Server) -> None:
    job = run(
        server, "mediaHash", image=data_url(encoded(halves())), types=["perceptualDct", "perceptualDct"]
    )
    assert list(job["output"]["hashes"]) == ["perceptualDct"]


def test_a_difference_hash_has_a_bit_for_each_brighter_pixel() -> None:
    rising = Image.new("L", (9, 8))
    for y in range(8):
        for x in range(9):
            rising.putpixel((x, y), 10 * x if y < 4 else 200 - 10 * x)
    assert difference_hash(rising) == "ffffffff00000000"


def test_a_cosine_hash_is_that_of_the_definition() -> None:
    grey = photo().convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    values = [
        sum(
            grey.getpixel((x, y))
            * math.cos(math.pi * u * (2 * x + 1) / 64)
            * math.cos(math.pi * v * (2 * y + 1) / 64)
            for x in range(32)
            for y in range(32)
        )
        for v in range(8)
        for u in range(8)
    ]
    bits = "".join("1" if value > median(values) else "0" for value in values)
    assert cosine_hash(photo().convert("L"), 8) == f"{int(bits, 2):016x}"


def test_similar_pictures_have_similar_hashes_and_others_do_not() -> None:
    one, brighter, small = photo(), photo(20), photo(size=(100, 75))
    mirrored = one.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for hash_of, most in ((difference_hash, 6), (lambda grey: cosine_hash(grey, 8), 6)):
        made = [hash_of(each.convert("L")) for each in (one, brighter, small, mirrored)]
        assert distance(made[0], made[1]) <= most
        assert distance(made[0], made[2]) <= most
        assert distance(made[0], made[3]) > 12


def test_no_type_at_all_is_refused(server: Server) -> None:
    assert "input.types" in refused(server, "mediaHash", image=data_url(encoded(halves())), types=[])


def entries() -> list[dict[str, str]]:
    return [
        {"image": data_url(encoded(halves(10, 10))), "name": "../../etc/one.png"},
        {"image": data_url(encoded(halves(20, 10))), "name": "one.PNG"},
        {"image": data_url(encoded(halves(30, 10), "JPEG"), "jpeg")},
    ]


def test_a_zip_has_the_files_under_safe_and_different_names(server: Server) -> None:
    job = run(server, "blobArchive", entries=entries())
    assert job["artifacts"][0]["mediaType"] == "application/zip"
    assert job["output"] == {"entryCount": 3, "format": "zip", "name": "archive.zip"}
    with zipfile.ZipFile(io.BytesIO(download(server, job))) as archive:
        assert archive.namelist() == ["one.png", "one (2).PNG", "0003.jpeg"]
        assert archive.testzip() is None
        sizes = [Image.open(io.BytesIO(archive.read(name))).width for name in archive.namelist()]
    assert sizes == [10, 20, 30]


def test_a_tar_has_the_files(server: Server) -> None:
    job = run(server, "blobArchive", entries=entries(), format="tar", name="my pictures.tar")
    assert job["artifacts"][0]["mediaType"] == "application/x-tar"
    assert job["output"]["name"] == "my pictures.tar"
    with tarfile.open(fileobj=io.BytesIO(download(server, job))) as archive:
        assert len(archive.getnames()) == 3
        assert all(member.isfile() for member in archive.getmembers())


def test_the_same_files_make_the_same_archive(server: Server) -> None:
    first, second = (run(server, "blobArchive", entries=entries()) for _ in range(2))
    assert first["artifacts"][0]["sha256"] == second["artifacts"][0]["sha256"]


def test_files_of_earlier_jobs_are_archived(server: Server) -> None:
    made = run(server, "imageUpload", image=data_url(encoded(halves())))["artifacts"][0]
    job = run(server, "blobArchive", entries=[{"image": f"blob:{made['id']}", "name": "made.png"}])
    with zipfile.ZipFile(io.BytesIO(download(server, job))) as archive:
        assert len(archive.read("made.png")) == made["size"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("fox.png", "fox.png"),
        ("/etc/passwd", "passwd"),
        ("C:\\pictures\\fox.png", "fox.png"),
        ("..", ""),
        ("a\u0000b\u202ec.png", "abc.png"),
        (" fox. ", "fox"),
        ("f" * 300 + ".png", "f" * 196 + ".png"),
        ("ü" * 150, "ü" * 100),
    ],
)
def test_names_have_no_folders_and_no_control_characters(text: str, name: str) -> None:
    assert safe_name(text) == name


def call(number: int, size: int, check: object = None) -> TaskCall:
    files = [{"source": f"blob-{index}", "name": f"{index}.bin"} for index in range(number)]
    work = TaskSpec("blobArchive", {"entries": files, "format": "zip", "name": "a.zip"})

    def load(source: str) -> bytes:
        return source.encode().ljust(size, b".")

    def unused(*_: object) -> list[object]:
        raise AssertionError("no transform is needed")

    request = RenderRequest("job", 1, "reference", "builtin", work, 5.0)
    services = TaskServices(unused, load)  # type: ignore[arg-type]
    return TaskCall(request, work.arguments, services, check or (lambda: None))  # type: ignore[arg-type]


def test_too_many_bytes_are_a_failure_that_says_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_tasks, "MOST_ARCHIVE", 1000)
    run_archive = pixel_tasks.PIXEL_TASKS["blobArchive"].run
    assert run_archive(call(10, 100)).values["entryCount"] == 10
    with pytest.raises(BackendError, match="more than 1000 bytes") as caught:
        run_archive(call(11, 100))
    assert caught.value.failure is FailureCode.OUTPUT_LIMIT


def test_a_cancelled_archive_ends_between_two_files() -> None:
    seen: list[int] = []

    def check() -> None:
        seen.append(1)
        if len(seen) > 2:
            raise RenderCanceled

    with pytest.raises(RenderCanceled):
        pixel_tasks.PIXEL_TASKS["blobArchive"].run(call(1000, 10, check))
    assert len(seen) == 3
