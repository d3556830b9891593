"""The model library: a grid of fashion models, each made once, in versions, and edited."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from imagemill.products.base import Product, ProductContext, ProductParts, TaskContext

if TYPE_CHECKING:
    import typer
    from pydantic import BaseModel

    from imagemill.api.base import ApiModule, Services
    from imagemill.jobs.store.finish import RecordWriters
    from imagemill.jobs.store.store import FileReferences
    from imagemill.products.library.service import LibraryService
    from imagemill.products.library.settings import LibrarySettings
    from imagemill.products.library.tasks import LibraryTasks


class Library(Product):
    name = "library"
    blob_prefix = "library/"
    celery_tasks = ("generate_model", "batch_generate", "edit_model", "health_check")

    def settings_groups(self) -> "Mapping[str, type[BaseModel]]":
        from imagemill.products.library.settings import LibrarySettings

        return {"library": LibrarySettings}

    def record_writers(self) -> "RecordWriters":
        from imagemill.products.library.records import LibraryEntry
        from imagemill.products.library.store import record_models

        return {LibraryEntry: record_models}

    def file_references(self) -> "FileReferences":
        from imagemill.products.library.store import referenced_files

        return referenced_files

    def task_owner(self, settings: Mapping[str, Any]) -> str | None:
        library: LibrarySettings = settings["library"]
        return library.owner

    def commands(self) -> "Mapping[str, typer.Typer]":
        from imagemill.products.library import commands

        return {"library": commands.commands}

    def build(self, context: ProductContext) -> "LibraryParts":
        return LibraryParts(context)


class LibraryParts(ProductParts):
    def __init__(self, context: ProductContext) -> None:
        from imagemill.products.library.recipes import EDIT_MODEL, FASHION_MODEL
        from imagemill.products.library.store import ModelStore

        self.recipes = (FASHION_MODEL, EDIT_MODEL)
        self._context = context
        self._settings: LibrarySettings = context.settings["library"]
        self._models = ModelStore(context.database)

    def service(self, services: "Services") -> "LibraryService":
        from imagemill.products.library.service import LibraryService

        submitter, inputs, blobs = services.submitter, services.inputs, services.blobs
        parts = (self._context.jobs, self._models, submitter, inputs, blobs, self._settings)
        return LibraryService(*parts, services.response_config.public_url)

    def api(self) -> "ApiModule":
        from imagemill.products.library.routes import api_module

        return api_module(self.service, self._models)

    def tasks(self, context: TaskContext) -> "LibraryTasks":
        from imagemill.products.library.tasks import LibraryTasks
        from imagemill.web.blobs import picture_url

        signer, base_url = context.services.response_config.signer, context.base_url
        return LibraryTasks(
            self._context.jobs,
            self._models,
            self.service(context.services),
            owner=PRODUCT.task_owner(self._context.settings) or self._context.owner,
            time_limit_s=context.time_limit_s,
            base_url=base_url,
            sign=lambda artifact: picture_url(signer, base_url, artifact).url,
            capacity=context.services.capacity,
        )


PRODUCT = Library()
