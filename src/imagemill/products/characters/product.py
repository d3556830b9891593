"""Characters: avatars, stickers, covers and scenes made from character sheets."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from imagemill.products.base import Product, ProductContext, ProductParts

if TYPE_CHECKING:
    import typer
    from pydantic import BaseModel

    from imagemill.api.base import ApiModule
    from imagemill.jobs.store.finish import RecordWriters
    from imagemill.jobs.store.store import FileReferences
    from imagemill.language.chat import LlmClient
    from imagemill.language.settings import LanguageModelSettings
    from imagemill.products.characters.settings import CharacterSettings, LlmSettings
    from imagemill.safety.chain import Check

log = logging.getLogger(__name__)

_RECIPES = ("avatar", "sticker", "cover", "scene")


class Characters(Product):
    name = "characters"
    blob_prefix = "characters/"
    check_names = ("characters",)

    def settings_groups(self) -> "Mapping[str, type[BaseModel]]":
        from imagemill.products.characters.settings import CharacterSettings, LlmSettings

        return {"characters": CharacterSettings, "llm": LlmSettings}

    def record_writers(self) -> "RecordWriters":
        from imagemill.products.characters.records import CharacterImage
        from imagemill.products.characters.store import record_images

        return {CharacterImage: record_images}

    def file_references(self) -> "FileReferences":
        from imagemill.products.characters.store import referenced_files

        return referenced_files

    def checks(self, settings: Mapping[str, Any]) -> "Mapping[str, Check]":
        from imagemill.safety.words import RecipeBlockedWords

        terms = settings["characters"].blocked_words
        return {"characters": RecipeBlockedWords("characters", terms, _RECIPES)} if terms else {}

    def commands(self) -> "Mapping[str, typer.Typer]":
        from imagemill.products.characters import commands

        return {"characters": commands.commands}

    def build(self, context: ProductContext) -> "CharacterParts":
        return CharacterParts(context)


class CharacterParts(ProductParts):
    def __init__(self, context: ProductContext) -> None:
        from imagemill.products.characters.preparation import CharacterTools
        from imagemill.products.characters.prompts.translator import Translator
        from imagemill.products.characters.recipes import recipes
        from imagemill.products.characters.sheets import SheetStore
        from imagemill.products.characters.store import CharacterStore, TranslationStore

        self._settings: CharacterSettings = context.settings["characters"]
        self._blobs = context.blobs
        self._run_transform = context.run_transform
        self._llm = _open_language_model(context.settings["llm"], context.language_model)
        self._store = CharacterStore(context.database)
        self._sheets = SheetStore(context.database)
        self._translations = TranslationStore(context.database)
        self._translator = Translator(self._llm, self._translations)
        tools = CharacterTools(self._store, self._translator).for_job
        self.recipes = recipes(self._settings, tools, has_language_model=self._llm is not None)

    def api(self) -> "ApiModule":
        from imagemill.products.characters.drift import DriftMeter
        from imagemill.products.characters.routes import api_module

        if self._settings.public_base_url and self._blobs.presign("GET", "characters/probe", 1.0) is None:
            log.warning(
                "IMAGEMILL_CHARACTERS__PUBLIC_BASE_URL is set, but files are in a local folder: addresses of "
                "pictures work only if %s serves that folder",
                self._settings.public_base_url,
            )
        parts = (self._store, self._sheets, DriftMeter(self._blobs, self._run_transform))
        return api_module(self._settings, *parts, has_language_model=self._llm is not None)

    def prune(self) -> None:
        self._translations.prune_after(self._settings.translations_days)

    def close(self) -> None:
        if self._llm is not None:
            self._llm.close()


def _open_language_model(own: "LlmSettings", general: "LanguageModelSettings") -> "LlmClient | None":
    """Return the client of the product's own language model, else of that of all tasks, if there is one."""
    from imagemill.language.chat import open_client

    if own.base_url is None:
        model = own.model or general.model
        own = own.model_copy(
            update={"base_url": general.base_url, "model": model, "api_key": general.api_key}
        )
    return open_client(own.base_url, own.model, own.limits)


PRODUCT = Characters()
