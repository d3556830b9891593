"""Books: picture books in which a child is the hero, from one photo to the print files."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagemill.products.base import Product, ProductContext, ProductParts

if TYPE_CHECKING:
    import typer
    from pydantic import BaseModel

    from imagemill.api.base import ApiModule, Services
    from imagemill.jobs.store.finish import RecordWriters
    from imagemill.jobs.store.store import FileReferences
    from imagemill.jobs.submit import Submitter
    from imagemill.products.books.book_manifest import Illustration
    from imagemill.products.books.facts import Facts
    from imagemill.products.books.service import BookService
    from imagemill.products.books.settings import BookSettings


class Books(Product):
    name = "books"
    blob_prefix = "books/"
    migrations = Path(__file__).parent / "migrations" / "versions"

    def settings_groups(self) -> "Mapping[str, type[BaseModel]]":
        from imagemill.products.books.settings import BookSettings

        return {"books": BookSettings}

    def record_writers(self) -> "RecordWriters":
        from imagemill.products.books import records

        return {
            records.AnalysisEntry: records.record_analyses,
            records.FilesEntry: records.record_files,
            records.ErasureEntry: records.record_erasures,
        }

    def file_references(self) -> "FileReferences":
        from imagemill.products.books.store import referenced_files

        return referenced_files

    def commands(self) -> "Mapping[str, typer.Typer]":
        from imagemill.products.books import commands

        return {"books": commands.commands}

    def build(self, context: ProductContext) -> "BookParts":
        return BookParts(context)


class BookParts(ProductParts):
    def __init__(self, context: ProductContext) -> None:
        from imagemill.products.books.book_catalogue import BookCatalogue
        from imagemill.products.books.composition import BookComposer
        from imagemill.products.books.identity.describe import FaceDescriber
        from imagemill.products.books.identity.modes import IdentityModes
        from imagemill.products.books.progress import BookProgress
        from imagemill.products.books.recipes import BookRecipes, shrink_photo
        from imagemill.products.books.store import BookStore

        settings: BookSettings = context.settings["books"]
        self._context = context
        self._settings = settings
        self._rules = settings.rules
        self._store = BookStore(context.database)
        self.catalogue = BookCatalogue((settings.folder,) if settings.folder is not None else ())
        self.composer = BookComposer(
            self.catalogue,
            context.blobs,
            profiles_folder=settings.folder / "profiles" if settings.folder is not None else None,
            embedding_model=settings.embedding_model,
            icc_profile=settings.icc_profile,
            identity_limit=settings.identity_limit,
        )
        self._modes = IdentityModes(settings, context.registry)
        self._progress = BookProgress(self._store, self._rules, self._choose)
        self._describer = FaceDescriber(
            context.language_model, shrink_photo(context.run_transform), external=settings.external_vision
        )
        self.recipes = BookRecipes(
            self._store, context.jobs, context.blobs, self.composer, settings, self._describer
        ).all()

    def _choose(self, facts: "Facts", sheet: "Illustration") -> Mapping[str, Any]:
        """Return the fields of the choice of an identity mode that differ from the defaults."""
        faces = len({each.id for each in facts.manifest.faces(sheet)})
        choice = self._modes.choose(facts.manifest.style, sheet.transfer, faces)
        fields = {**asdict(choice), "mode": choice.mode.value, "loras": [list(each) for each in choice.loras]}
        return {name: value for name, value in fields.items() if value}

    def service(self, services: "Services") -> "BookService":
        from imagemill.products.books.recipes import text_check
        from imagemill.products.books.service import BookService, ServiceParts

        return BookService(
            ServiceParts(
                store=self._store,
                catalogue=self.catalogue,
                composer=self.composer,
                progress=self._progress,
                submitter=services.submitter,
                blobs=self._context.blobs,
                rules=self._rules,
                choose=self._choose,
                sanitize=services.inputs.sanitize,
                check_text=text_check(services.submitter),
                cancel_job=self._context.jobs.cancel,
                profile=self._settings.profile,
            )
        )

    def facts(self, id_: str) -> "Facts":
        """Return all facts about a book, whoever owns it. Raises `NotFound`."""
        return self._store.facts(id_)

    def api(self) -> "ApiModule":
        from imagemill.products.books.routes import api_module

        return api_module(self.service, self.catalogue)

    def advance(self, submitter: "Submitter") -> None:
        self._progress.advance(submitter)

    def close(self) -> None:
        self._describer.close()


PRODUCT = Books()
