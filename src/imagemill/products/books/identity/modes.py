"""Choose the way in which a picture gets its faces, by what the book wants and the nodes have."""

import time
from collections.abc import Callable, Iterator, Mapping

from imagemill.domain.air import InvalidAir
from imagemill.domain.errors import InvalidInput
from imagemill.domain.images import PageSpec
from imagemill.graphs.families.table import Families, FamilyMatch, built_in
from imagemill.media.page_work import PageResult, PageWork
from imagemill.model_registry.family_support import FamilySupport
from imagemill.model_registry.names import InstalledModel
from imagemill.model_registry.registry import Registry
from imagemill.products.books.book_manifest import Style, TransferMode
from imagemill.products.books.identity import ipadapter
from imagemill.products.books.identity.base import (
    FACE_INPUT,
    IdentityChoice,
    IdentityMode,
    NoIdentityMode,
    PicturePlan,
    PictureRequest,
    Size,
)
from imagemill.products.books.identity.edit import EditMode, most_people
from imagemill.products.books.identity.ipadapter import IpAdapterMode
from imagemill.products.books.settings import BookSettings

EDIT_FAMILIES = ("qwen-edit", "flux2-klein")
"""The families of edit models that are looked for, the preferred one first."""
_EDIT_VARIANTS = ("2511", "2509", "rapid", "4b-base", "4b")
"""The preferred variants of them, the best likeness first."""
READ_NODES_S = 60.0
"""Seconds from the start of a process in which its nodes should have been read; a node that cannot be reached
holds up no book for longer."""
_NONCOMMERCIAL = "IMAGEMILL_BOOKS__ALLOW_NONCOMMERCIAL_MODELS=true"
_RESEARCH = "IMAGEMILL_BOOKS__ALLOW_RESEARCH_WEIGHTS=true"


class LocalMode:
    """The identity mode ``local``."""

    @property
    def choice(self) -> IdentityChoice:
        return IdentityChoice(TransferMode.LOCAL)

    def outline(self, size: Size, faces: int = 1) -> PicturePlan:
        del faces
        return PicturePlan(_page_spec(size, _no_work))

    def plan(self, request: PictureRequest) -> PicturePlan:
        from imagemill.products.books.identity.local import TransferFaces

        work = TransferFaces(request.targets, request.size, seed=request.seed)
        faces = {f"{FACE_INPUT}{id_}": face for id_, face in request.faces.items()}
        return PicturePlan(_page_spec(request.size, work), {"base": request.base, **faces})


def _page_spec(size: Size, work: PageWork) -> PageSpec:
    return PageSpec("bookPicture", work, megapixels=size[0] * size[1] / 1e6)


def _no_work(inputs: Mapping[str, bytes]) -> PageResult:
    """Stand for the work of an outline, which is never run."""
    raise AssertionError(f"an outline is not run, with {len(inputs)} inputs")


def open_mode(
    choice: IdentityChoice, settings: BookSettings, families: Families | None = None
) -> IdentityMode:
    """Return the mode of a choice. It looks at no node, so that a worker plans as the server has chosen."""
    match choice.mode:
        case TransferMode.LOCAL:
            return LocalMode()
        case TransferMode.EDIT:
            return EditMode(choice, families or built_in())
        case TransferMode.IPADAPTER:
            return IpAdapterMode(choice, settings.ipadapter_strength_scale)


class IdentityModes:
    """The ways of an installation."""

    def __init__(
        self, settings: BookSettings, registry: Registry, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings, self._registry, self._clock = settings, registry, clock
        self._patient_until = clock() + READ_NODES_S
        self._find: Mapping[TransferMode, Callable[[Style, int], IdentityChoice]] = {
            TransferMode.EDIT: self._edit,
            TransferMode.IPADAPTER: self._ipadapter,
            TransferMode.LOCAL: lambda style, faces: IdentityChoice(TransferMode.LOCAL),
        }

    def choose(self, style: Style, wanted: TransferMode | None = None, faces: int = 1) -> IdentityChoice:
        """Return the way in which a picture is made: ``wanted``, or the first of ``books.modes`` that can be.

        ``faces``: the number of people with photos on it. Raises `NoIdentityMode` with what is missing for
        each way.
        """
        problems: list[str] = []
        for mode in (wanted,) if wanted is not None else self._settings.modes:
            try:
                return self._find[mode](style, faces)
            except NoIdentityMode as error:
                if mode is not TransferMode.LOCAL:
                    self._wait_for_nodes()
                problems.append(f"{mode}: {error}")
        raise NoIdentityMode("no way to put the face onto the page can be used; " + "; ".join(problems))

    def _wait_for_nodes(self) -> None:
        """Raise `NoIdentityMode` while the nodes are being read, so that no page gets another mode."""
        unread = [each.node for each in self._registry.installed.nodes() if each.catalogue is None]
        if unread and self._clock() < self._patient_until:
            message = f"the models of {', '.join(unread)} have not been read yet; try again in some seconds"
            raise NoIdentityMode(message)

    # An edit model.

    def _edit(self, style: Style, faces: int) -> IdentityChoice:
        del style
        choice = self._named_edit_model() if self._settings.edit_model else self._installed_edit_model()
        found = self._registry.installed.families.find(
            choice.family, choice.model_path, variant=choice.variant
        )
        most = most_people(found.variant) if found is not None else 0
        if faces > most:
            title = found.title if found is not None else choice.model_path
            raise NoIdentityMode(
                f"the picture shows {faces} people with photos, and {title} takes pictures of {most}"
            )
        return choice

    def _named_edit_model(self) -> IdentityChoice:
        name = self._settings.edit_model or ""
        try:
            resource = self._registry.lookup("books.edit_model", name, kind="checkpoint")
        except InvalidInput as error:
            raise NoIdentityMode(str(error)) from error
        families = self._registry.installed.families
        found = families.find(resource.family, resource.path, variant=resource.variant)
        if found is None or most_people(found.variant) < 1:
            raise NoIdentityMode(
                f"books.edit_model {name} takes no pictures of people; name a model of Qwen-Image-Edit or "
                "FLUX.2 klein 4B"
            )
        model = self._registry.installed.find(resource.path, "checkpoint")
        if model is None:
            raise NoIdentityMode(f"no node has the edit model {resource.path}")
        self._check_usable(found, FamilySupport(self._registry.installed).lacking(model))
        return _edit_choice(found, str(resource.air), resource.path)

    def _installed_edit_model(self) -> IdentityChoice:
        support = FamilySupport(self._registry.installed)
        problems: list[str] = []
        for found, model in sorted(self._edit_models(), key=_edit_order):
            try:
                self._check_usable(found, support.lacking(model))
                return _edit_choice(found, str(model.air), model.file.name)
            except (NoIdentityMode, InvalidAir) as error:
                problems.append(str(error))
        if problems:
            raise NoIdentityMode("; ".join(dict.fromkeys(problems)))
        raise NoIdentityMode(
            "no ComfyUI node has an edit model; put one of Qwen-Image-Edit 2511 or FLUX.2 klein 4B into its "
            "folder models/diffusion_models"
        )

    def _edit_models(self) -> Iterator[tuple[FamilyMatch, InstalledModel]]:
        for model in self._registry.installed.all():
            found = model.family.match
            if found is None or model.file.kind != "checkpoint" or found.family.name not in EDIT_FAMILIES:
                continue
            if most_people(found.variant) >= 1:
                yield found, model

    def _check_usable(self, found: FamilyMatch, lacking: tuple[str, ...]) -> None:
        if found.variant.commercial is not True and not self._settings.allow_noncommercial_models:
            licence = found.variant.license or "unknown"
            raise NoIdentityMode(
                f"the licence of {found.title} ({licence}) does not allow printed books; if you have bought "
                f"one that does, set {_NONCOMMERCIAL}"
            )
        if lacking:
            raise NoIdentityMode(f"for {found.title} the node lacks {', '.join(lacking)}")

    # IPAdapter.

    def _ipadapter(self, style: Style, faces: int) -> IdentityChoice:
        del faces
        if not self._settings.allow_research_weights:
            raise NoIdentityMode(
                "the weights of InsightFace are licensed for research only; if you may use them, set "
                f"{_RESEARCH}"
            )
        nodes = {each.node: each.catalogue for each in self._registry.installed.nodes()}
        with_pack = [
            name for name, each in nodes.items() if each and each.classes.issuperset(ipadapter.CLASSES)
        ]
        if not with_pack:
            raise NoIdentityMode(
                f"no ComfyUI node has {' and '.join(ipadapter.CLASSES)}; install the node pack "
                "ComfyUI_IPAdapter_plus and InsightFace on one"
            )
        return self._with_checkpoint(style, with_pack)

    def _with_checkpoint(self, style: Style, nodes: list[str]) -> IdentityChoice:
        try:
            if style.checkpoint:
                checkpoint = self._registry.lookup("style.checkpoint", style.checkpoint, kind="checkpoint")
            else:
                checkpoint = self._registry.default_checkpoint("style.checkpoint", "sdxl")
            loras = [
                (self._registry.lookup("style.loras", each.air, kind="lora"), each.strength)
                for each in style.loras
            ]
        except InvalidInput as error:
            raise NoIdentityMode(str(error)) from error
        if checkpoint.family not in ipadapter.SIDES:
            family = checkpoint.family or "unknown"
            raise NoIdentityMode(
                f"the book's checkpoint {checkpoint.path} is of the family {family}, and IPAdapter draws "
                f"with {' and '.join(ipadapter.SIDES)} only"
            )
        for file, kind in ((checkpoint.path, "checkpoint"), *((lora.path, "lora") for lora, _ in loras)):
            model = self._registry.installed.find(file, kind)
            if model is None or not set(nodes) & set(model.nodes):
                raise NoIdentityMode(f"{file} is missing on the nodes with the pack: {', '.join(nodes)}")
        return IdentityChoice(
            TransferMode.IPADAPTER,
            str(checkpoint.air),
            checkpoint.path,
            checkpoint.family,
            checkpoint.variant,
            tuple((lora.path, strength) for lora, strength in loras),
        )


def _edit_choice(found: FamilyMatch, air: str, path: str) -> IdentityChoice:
    return IdentityChoice(TransferMode.EDIT, air, path, found.family.name, found.variant_name)


def _edit_order(candidate: tuple[FamilyMatch, InstalledModel]) -> tuple[int, int, str]:
    found, model = candidate
    known = found.variant_name in _EDIT_VARIANTS
    rank = _EDIT_VARIANTS.index(found.variant_name) if known else len(_EDIT_VARIANTS)
    return EDIT_FAMILIES.index(found.family.name), rank, model.file.name
