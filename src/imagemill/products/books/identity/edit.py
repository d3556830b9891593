"""Draw a face with an edit model on a ComfyUI node, by core nodes only: Qwen-Image-Edit or FLUX.2 klein.

The model gets the part of the page around the face, the approved reference sheet and the crop of the photo.
"""

import io
from collections.abc import Iterator, Mapping, Sequence

from imagemill.domain.dataclass import dataclass
from imagemill.domain.images import ImageSpec
from imagemill.graphs.families.rows import Variant
from imagemill.graphs.families.table import Families
from imagemill.media.layout import InvalidImage
from imagemill.media.transforms import ImageTransform, OutputFile, TransformContext
from imagemill.products.books.identity.base import (
    FACE_INPUT,
    IdentityChoice,
    NoIdentityMode,
    PicturePlan,
    PictureRequest,
    Size,
    one_line,
)

SIDE = 1024
"""Pixels of a side that is drawn: these models are made for a megapixel."""
PAGE, SHEET = "page", "reference"
"""Names of the inputs."""
_WORDS = {"flux2-klein": "image", "flux2": "image"}
"""The word by which models of a family know their pictures; ``picture`` for others."""
_MOST_FEEDBACK = 400
_QUALITY = 95


@dataclass(frozen=True, slots=True)
class ScalePicture:
    """Scale a node's picture to print size, as a JPEG like that of `PasteBack`."""

    size: Size

    def __call__(self, data: bytes, context: TransformContext) -> Sequence[OutputFile]:
        from PIL import Image, ImageOps

        del context
        try:
            with Image.open(io.BytesIO(data)) as opened:
                fitted = ImageOps.fit(opened.convert("RGB"), self.size, Image.Resampling.LANCZOS)
        except (OSError, ValueError, SyntaxError) as error:
            raise InvalidImage("could not be read") from error
        file = io.BytesIO()
        fitted.save(file, "JPEG", quality=_QUALITY, subsampling=0, dpi=(300, 300))
        return (OutputFile(file.getvalue(), "image/jpeg", *self.size),)


class EditMode:
    """The identity mode ``edit``."""

    def __init__(self, choice: IdentityChoice, families: Families) -> None:
        found = families.find(choice.family, choice.model_path, variant=choice.variant)
        if found is None:
            raise NoIdentityMode(f"the family {choice.family} of {choice.model_path} is no model family here")
        self._choice, self._found = choice, found

    @property
    def choice(self) -> IdentityChoice:
        return self._choice

    def outline(self, size: Size, faces: int = 1) -> PicturePlan:
        del size
        names = (PAGE, *(f"{FACE_INPUT}{number}" for number in range(faces)))
        return PicturePlan(self._spec("", "", names, 0), queue="gpu", model=self._choice.model)

    def plan(self, request: PictureRequest) -> PicturePlan:
        from imagemill.products.books.identity.node_crops import crop_of, left_to_right
        from imagemill.products.books.identity.paste import PasteBack

        request.check_faces()
        if len(request.targets) > 1:
            request = left_to_right(request)
        transform: ImageTransform
        if request.whole or request.reference is None:
            page, transform = request.base, ScalePicture(request.size)
        else:
            crop = crop_of(request, SIDE)
            page, transform = crop.picture, PasteBack(request.base, crop.place, crop.target, request.size)
        data = {PAGE: page, **people_pictures(request, most_people(self._found.variant))}
        prompt = edit_prompt(request, tuple(data), _WORDS.get(self._found.family.name, "picture"))
        work = self._spec(prompt, request.negative_prompt, tuple(data), request.seed)
        return PicturePlan(work, data, transform, queue="gpu", model=self._choice.model)

    def _spec(self, prompt: str, negative: str, names: tuple[str, ...], seed: int) -> ImageSpec:
        choice, variant = self._choice, self._found.variant
        return ImageSpec(
            prompt=prompt,
            negative_prompt=negative,
            model=choice.model,
            model_path=choice.model_path,
            family=choice.family,
            variant=choice.variant,
            width=SIDE,
            height=SIDE,
            steps=variant.steps,
            cfg_scale=variant.default_cfg,
            sampler=variant.sampler,
            scheduler=variant.scheduler,
            seed=seed,
            references=names,
            size_of_reference=True,
        )


def most_people(variant: Variant) -> int:
    """The number of pictures of people that a model takes beside the page."""
    return variant.references.max - 1 if variant.references is not None else 0


def people_pictures(request: PictureRequest, most: int) -> dict[str, bytes]:
    """Return the approved sheet, and the crops of the photos; the crops alone where there is no room for
    both."""
    characters = tuple(dict.fromkeys(target.character for target in request.targets))
    faces = {f"{FACE_INPUT}{id_}": request.faces[id_] for id_ in characters}
    if request.reference is not None and len(faces) < most:
        return {SHEET: request.reference, **faces}
    return dict(list(faces.items())[:most])


# Prompts. The models were trained on plain instructions that call the pictures by their number.


def edit_prompt(request: PictureRequest, names: Sequence[str], word: str) -> str:
    """Return the instruction for a page, or for the reference sheet while there is none.

    ``names``: the inputs in their order. ``word``: how the model calls a picture.
    """
    numbers = {name: f"{word} {number}" for number, name in enumerate(names, start=1)}
    page = numbers[PAGE]
    if request.reference is None:
        task = (
            f"{page} is a character sheet with a front view, a three-quarter view and a full figure of one "
            "person. Draw all three views as the person who is described below, without changing the poses, "
            "the clothes, the layout and the background."
        )
    else:
        kind = "a page" if request.whole else "a part of a page"
        # A mask may reach over the hair; the place of a face alone does not.
        may_change_hair = request.whole or all(target.mask for target in request.targets)
        changed, kept = ("the faces and the hair", "") if may_change_hair else ("the faces", " hair,")
        task = (
            f"{page} is {kind} of an illustrated children's book. Change only {changed} of the people who "
            f"are described below. Everything else in {page} stays as it is: pose, expression, direction of "
            f"view,{kept} clothes, background and light."
        )
    style = f"Draw in the style, the colours and the light of {page}, not like a photo."
    parts = [task, *_people(request, numbers), style]
    if request.prompt.strip():
        parts.append(f"The picture shows: {_sentence(request.prompt)}")
    if request.feedback.strip():
        parts.append(f"This time: {_sentence(request.feedback[:_MOST_FEEDBACK])}")
    return " ".join(parts)


def _people(request: PictureRequest, numbers: Mapping[str, str]) -> Iterator[str]:
    characters = tuple(dict.fromkeys(target.character for target in request.targets))
    hero = request.hero or characters[0]
    for place, character in enumerate(characters):
        drawn = numbers.get(SHEET) if character == hero else None
        photo = numbers.get(f"{FACE_INPUT}{character}")
        shown = [f"the approved drawing in {drawn}"] if drawn else []
        shown += [f"the photo in {photo}"] if photo else []
        who = "The person" if len(characters) == 1 else f"Person {place + 1} from the left"
        if shown:
            yield f"{who} has the face of {' and '.join(shown)}."
        if words := request.people.get(character, "").strip():
            yield f"{who} is {_sentence(words)}"


def _sentence(text: str) -> str:
    """The text in one line, with a full stop."""
    line = one_line(text)
    return line if line.endswith((".", "!", "?")) else f"{line}."
