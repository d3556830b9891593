"""The data that the ways of putting a face onto a page have in common, and their interface."""

from collections.abc import Mapping
from dataclasses import field
from typing import Literal, Protocol

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import BackendError, Conflict, MissingExtra
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import RenderSpec
from imagemill.media.transforms import ImageTransform
from imagemill.products.books.book_manifest import Box, TransferMode

Size = tuple[int, int]
"""Width and height in pixels."""

FacePlace = tuple[Box, float]
"""The box of a face, and its tilt in degrees."""

PhotoProblem = Literal["no_face", "several_faces", "too_small", "blurred", "turned_away"]
"""The reason why a photo cannot be used."""

FACE_INPUT = "face."
"""Prefix of the inputs with crops of faces: ``face.`` and the character's id."""


def check_faces(feature: str) -> None:
    """Raise `MissingExtra` where a package that finds faces is missing."""
    for module in ("numpy", "cv2", "dlib", "face_recognition_models"):
        MissingExtra.check(module, "faces", feature)


@dataclass(frozen=True, slots=True)
class FaceTarget:
    """A place in an illustration where a character's face belongs.

    A reference sheet has several of one character.
    """

    character: str
    mask: bytes | None = None
    """A picture of any size, white where the face may change; None means that it is made from the box."""
    box: Box | None = None
    """The face from hair line to chin, and from ear to ear; None means that it is found."""
    tilt: float = 0.0
    """Degrees by which the head leans to the right."""


@dataclass(frozen=True, slots=True)
class CropBox:
    """A square of a picture, in pixels of the picture that it was cut from."""

    left: int
    top: int
    side: int
    picture: Size


@dataclass(frozen=True, slots=True)
class PictureRequest:
    """Everything that a picture with faces is made of."""

    base: bytes
    """The illustration."""
    targets: tuple[FaceTarget, ...]
    faces: Mapping[str, bytes]
    """Character id -> the crop of the face that the analysis of the photo made."""
    size: Size
    """Size of the picture at print resolution."""
    seed: int
    reference: bytes | None = None
    """The approved reference sheet; None while the sheet itself is made."""
    hero: str = ""
    """The character on the reference sheet; empty means that of the first target."""
    prompt: str = ""
    """The words of the page, and of the book's style."""
    negative_prompt: str = ""
    people: Mapping[str, str] = field(default_factory=dict[str, str])
    """Character id -> words for the person, such as "a girl of 5 years, curly red hair, freckles"; see
    `describe.words_for`. They are never a name."""
    feedback: str = ""
    """The wish with which a parent has asked for another picture."""
    whole: bool = False
    """Whether a node draws the whole picture anew, in place of the surroundings of the face."""

    def check_faces(self) -> None:
        """Raise `BackendError` where a target's character has no photo."""
        for target in self.targets:
            if target.character not in self.faces:
                message = f"the photo of {target.character} is missing; upload one"
                raise BackendError(FailureCode.BAD_INPUT, message)


@dataclass(frozen=True, slots=True)
class PicturePlan:
    """The work that makes a picture."""

    work: RenderSpec
    """An `ImageSpec`, a `GraphSpec` or a `PageSpec`."""
    data: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    """The pictures that the work reads, by the name of the input."""
    transform: ImageTransform | None = None
    """Works on the picture that a node has made."""
    queue: Literal["render", "gpu"] = "render"
    model: str = ""
    """The AIR of the checkpoint; empty if there is none."""


class NoIdentityMode(Conflict):
    """No way of putting a face onto a picture can be used; the message says what is missing for each."""

    code = "no_identity_mode"


@dataclass(frozen=True, slots=True)
class IdentityChoice:
    """The way that a picture is made in, to be stored with it. `modes.open_mode` opens it in any process."""

    mode: TransferMode
    model: str = ""
    """The AIR of the model that draws; empty for the mode local."""
    model_path: str = ""
    """Path of the file in which a node should have it."""
    family: str = ""
    variant: str = ""
    loras: tuple[tuple[str, float], ...] = ()
    """(file, strength) of the LoRAs of the book's style, as far as the mode uses them."""


class IdentityMode(Protocol):
    """A way of putting faces onto a page."""

    @property
    def choice(self) -> IdentityChoice: ...

    def outline(self, size: Size, faces: int = 1) -> PicturePlan:
        """Return a plan without pictures, words and the seed, by which it is found where a job can run."""
        ...

    def plan(self, request: PictureRequest) -> PicturePlan:
        """Return the work that makes the picture at print size. The seed changes the picture visibly."""
        ...


def one_line(text: str) -> str:
    """Return words for a prompt in one line, without the syntax by which nodes load embeddings."""
    return " ".join(text.replace("embedding:", "embedding ").split())
