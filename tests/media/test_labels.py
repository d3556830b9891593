"""What a file says of how it was made, read by exiftool."""

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from imagemill.media.encoding import encode_webp
from imagemill.media.layout import InvalidImage
from imagemill.media.metadata import AI_MARK, ImageMetadata, Metadata, exif, redacted, with_metadata, xmp
from tests.debian import environment, unpacked
from tests.media.files import picture

LABELS = ImageMetadata(
    made_at=1_793_000_000_123_456,
    prompt='menina de cabelo azul, "é" <b> & 灯台',
    character="Aña & Zoë",
    job_id="job-1",
    model="urn:air:sdxl:checkpoint:civitai:101055@128078",
    seed=42,
)
SECRETS = ("menina", "Aña", "job-1", "128078")


def labelled(kind: str, labels: ImageMetadata) -> bytes:
    if kind == "png":
        return with_metadata(picture(), labels)
    return encode_webp(
        Image.effect_noise((40, 30), 90).convert("RGB"), exif=exif(labels), xmp=xmp(labels)
    ).data


@pytest.fixture
def exiftool(tmp_path: Path) -> Any:
    root = unpacked("libimage-exiftool-perl")
    surroundings = environment(root) | {"PERL5LIB": str(root / "usr/share/perl5")}

    def read(data: bytes, kind: str) -> dict[str, Any]:
        path = tmp_path / f"picture.{kind}"
        path.write_bytes(data)
        command = [
            str(root / "usr/bin/exiftool"),
            "-json",
            "-G1",
            "-n",
            "-validate",
            "-warning",
            "-all",
            str(path),
        ]
        ran = subprocess.run(
            command, env=surroundings, capture_output=True, text=True, check=True, timeout=200
        )
        return json.loads(ran.stdout)[0]

    return read


@pytest.mark.parametrize("kind", ["webp", "png"])
def test_exiftool_reads_all_of_it(kind: str, exiftool: Any):
    said = exiftool(labelled(kind, LABELS), kind)
    assert said["XMP-iptcExt:DigitalSourceType"] == AI_MARK
    assert said["XMP-iptcExt:AIPromptInformation"] == LABELS.prompt
    assert said["XMP-iptcExt:AISystemUsed"] == LABELS.model
    assert said["XMP-dc:Description"] == LABELS.prompt
    assert said["XMP-imagemill:Character"] == LABELS.character
    assert said["XMP-imagemill:Seed"] == LABELS.seed
    assert said["XMP-imagemill:Job"] == LABELS.job_id
    assert said["XMP-xmp:CreateDate"] == "2026:10:26 07:33:20Z"
    assert said["IFD0:Software"] == "Imagemill"
    assert said["IFD0:ImageDescription"] == 'menina de cabelo azul, "e" <b> & ??'
    assert said["IFD0:XPComment"] == LABELS.prompt
    assert said["ExifIFD:DateTimeOriginal"] == "2026:10:26 07:33:20"
    assert json.loads(said["ExifIFD:UserComment"]) == {
        "prompt": LABELS.prompt,
        "character": LABELS.character,
        "seed": 42,
        "model": LABELS.model,
        "job": "job-1",
    }
    assert "ExifTool:Warning" not in said


def test_a_reader_of_ascii_tags_reads_the_description():
    labels = ImageMetadata(0, "João, maçã")
    with Image.open(io.BytesIO(labelled("webp", labels))) as image:
        assert image.getexif()[0x010E] == "Joao, maca"


@pytest.mark.parametrize("kind", ["webp", "png"])
def test_anonymous_keeps_the_mark_the_time_and_the_software_alone(kind: str, exiftool: Any):
    labels = redacted(LABELS, "anonymous")
    assert labels is not None
    data = labelled(kind, labels)
    said = exiftool(data, kind)
    assert said["XMP-iptcExt:DigitalSourceType"] == AI_MARK
    assert said["XMP-xmp:CreatorTool"] == "Imagemill"
    assert said["IFD0:ModifyDate"] == "2026:10:26 07:33:20"
    text = json.dumps(said, ensure_ascii=False)
    assert not [secret for secret in SECRETS if secret in text or secret.encode() in data]


def test_none_is_none():
    assert redacted(LABELS, "none") is None


@pytest.mark.parametrize("metadata", ["full", "anonymous"])
def test_pixels_of_a_png_are_not_touched(metadata: Metadata):
    plain = picture()
    labels = redacted(LABELS, metadata)
    assert labels is not None
    with (
        Image.open(io.BytesIO(with_metadata(plain, labels))) as after,
        Image.open(io.BytesIO(plain)) as before,
    ):
        assert isinstance(after, PngImagePlugin.PngImageFile)
        after.load()
        assert after.tobytes() == before.tobytes()
        assert AI_MARK in after.text["XML:com.adobe.xmp"]


def test_only_a_png_is_labelled_without_encoding_it():
    with pytest.raises(InvalidImage, match="not a PNG"):
        with_metadata(picture("JPEG"), LABELS)


@given(st.text(max_size=60), st.text(alphabet="\x00\x01\x0b<>&\"'\ud800\ufffe]", max_size=20))
def test_any_prompt_makes_well_formed_labels(prompt: str, odd: str):
    from xml.etree import ElementTree

    labels = ImageMetadata(0, prompt=prompt + odd, character=odd, model=prompt)
    ElementTree.fromstring(xmp(labels).decode().partition("?>")[2].rpartition("<?")[0])
    read = Image.Exif()
    read.load(exif(labels))
    assert read[0x0131] == "Imagemill"


def test_a_simulated_picture_claims_no_model() -> None:
    made = ImageMetadata(1_700_000_000_000_000, "a fox", model="urn:air:x", seed=0, simulated=True)

    written = xmp(made).decode()

    assert AI_MARK not in written
    assert "digitalsourcetype/algorithmicMedia<" in written
    assert "AISystemUsed" not in written
    assert "<imagemill:Simulated>true<" in written
    assert b'"simulated": true' in exif(made)
    assert b'"seed": 0' in exif(made)
    anonymous = redacted(made, "anonymous")
    assert anonymous is not None
    assert AI_MARK not in xmp(anonymous).decode()
