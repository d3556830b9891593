"""What judging prompts and taking pictures in costs a job: ``python -m benchmarks.safety``."""

import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from imagemill.domain.moderation import ModerationInput, PromptTexts, Verdict
from imagemill.media import pictures
from imagemill.media.intake import InputSanitizer, PictureLimits, parse
from imagemill.media.sandbox import DecodeLimits, DecoderPool
from imagemill.safety.chain import CheckChain
from imagemill.safety.gates import Picture
from imagemill.safety.nsfw import Nsfw
from imagemill.safety.words import Profanity

_PROMPT = "a lighthouse at the sea, oil painting, highly detailed, masterpiece, best quality, "
_PIXELS = 64 * 2**20


def median_ms(work: Callable[[int], object], times: int) -> float:
    """Wall time; the median is what a busy machine disturbs least."""
    took: list[float] = []
    for number in range(times):
        begin = time.perf_counter()
        work(number)
        took.append((time.perf_counter() - begin) * 1000)
    return sorted(took)[times // 2]


def picture(format_: str, orientation: int = 1) -> bytes:
    """1024 x 1024 with the detail of a photograph."""
    image = Image.effect_noise((256, 256), 60).resize((1024, 1024)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, format_, exif=exif)
    return file.getvalue()


def inspected(data: bytes) -> object:
    return pictures.inspect(data, max_pixels=_PIXELS)


def main() -> None:
    chain = CheckChain([Profanity(("english",), Verdict.FLAG)])

    def judge(text: str) -> Callable[[int], object]:
        return lambda number: chain.judge(
            ModerationInput(PromptTexts(f"{text} {number}", "blurry"), "ann", "textToImage")
        )

    print(f"prompt of 250 characters: {median_ms(judge(_PROMPT * 3), 2000):.3f} ms")
    print(f"prompt of 10,000 characters: {median_ms(judge(_PROMPT * 120), 50):.2f} ms")
    decoders = DecoderPool(DecodeLimits(_PIXELS), count=1)
    intake = InputSanitizer(PictureLimits(32 * 2**20, _PIXELS), decoders)
    begin = time.perf_counter()
    small = _small()
    intake.sanitize(small)
    print(f"start of the process: {(time.perf_counter() - begin) * 1000:.0f} ms")
    print(f"its round trip, 8 x 8: {median_ms(lambda _: intake.sanitize(small), 500):.2f} ms")
    for format_ in ("PNG", "JPEG", "WEBP"):
        plain, turned = picture(format_), picture(format_, 6)
        print(
            f"{format_}, 1024 x 1024, {len(plain) // 1024} KiB: "
            f"read {median_ms(lambda _, data=plain: parse(data), 20):.2f} ms, "
            f"in this process {median_ms(lambda _, data=plain: inspected(data), 20):.1f} ms, "
            f"taken in {median_ms(lambda _, data=plain: intake.sanitize(data), 20):.1f} ms, "
            f"turned {median_ms(lambda _, data=turned: intake.sanitize(data), 10):.1f} ms"
        )
    _classify(intake)
    status = Path(f"/proc/{decoders.processes[0]}/status").read_text()
    print("memory of the process, idle:", status.split("VmRSS:")[1].split("kB")[0].strip(), "kB")
    intake.close()


def _small() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    return file.getvalue()


def _classify(intake: InputSanitizer) -> None:
    """With the tests' tiny model: what is measured is everything but a real model's own run."""
    from tests.safety.test_nsfw import model

    data = picture("PNG")
    info = pictures.PictureInfo("image/png", 1024, 1024)
    seen = Picture(data, info, lambda width, height: intake.raster(data, width, height))
    with tempfile.TemporaryDirectory() as folder:
        classifier = Nsfw(model(Path(folder, "tiny.onnx"), planes_first=True), output=1, flag=0.5, block=0.85)
        begin = time.perf_counter()
        classifier.score(seen)
        print(
            f"first classification, with onnxruntime's import: {(time.perf_counter() - begin) * 1000:.0f} ms"
        )
        print(f"without the model's run: {median_ms(lambda _: classifier.score(seen), 20):.1f} ms")


if __name__ == "__main__":
    main()
