"""Draw the photo of the demonstration book: a portrait that looks like a photo and shows no real person."""

from pathlib import Path

from tests.books.drawn_photos import Person, Shot, as_jpeg, draw_photo

PHOTO = Path("src/imagemill/products/books/sample/photo.jpg")
CHILD = Person(
    seed=5,
    skin=(0.93, 0.74, 0.62),
    hair=(0.50, 0.33, 0.18),
    iris=(0.36, 0.25, 0.14),
    style="bob",
    eye_width=0.235,
    eye_height=1.15,
    slant=0.04,
    brow_y=-0.33,
    brow_thick=0.045,
    brow_arch=0.08,
    nose_y=0.40,
    nose_width=0.2,
    nose_bulge=0.5,
    nostrils=0.45,
    mouth_y=0.71,
    mouth_width=0.37,
    smile=0.13,
    cheeks=1.2,
    hairline=-0.70,
    freckles=True,
    shirt=(0.85, 0.62, 0.25),
    wall=(0.60, 0.74, 0.72),
)


def draw_sample_photo() -> bytes:
    return as_jpeg(draw_photo(CHILD, Shot(width=960, height=1200, face=0.44, tilt=3)), quality=90)


def main() -> None:
    PHOTO.parent.mkdir(parents=True, exist_ok=True)
    PHOTO.write_bytes(draw_sample_photo())


if __name__ == "__main__":
    main()
