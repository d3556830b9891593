"""Build the checks of prompts and images that the settings ask for."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

from imagemill.blobs.base import BlobStore
from imagemill.config import Settings
from imagemill.domain.errors import ImagemillError
from imagemill.domain.moderation import Verdict
from imagemill.domain.signing import UrlSigner
from imagemill.jobs.inputs import InputLimits, InputPictures
from imagemill.jobs.outputs import OutputChecks
from imagemill.jobs.store.store import JobStore
from imagemill.media.intake import InputSanitizer, PictureLimits
from imagemill.media.sandbox import DecodeLimits, DecoderPool, transform_limits
from imagemill.net.url_guard import UrlGuard
from imagemill.products.base import installed_products, load_plugin, registered
from imagemill.safety.chain import Check, CheckChain
from imagemill.safety.decisions import Decisions
from imagemill.safety.gates import Classifier, PictureGate, PromptGate
from imagemill.safety.minors import NAME as ALWAYS
from imagemill.safety.nsfw import Nsfw
from imagemill.safety.words import BlockedWords, Profanity


class SafetyComponents:
    """The checks of the settings. Raises `InvalidSafety`."""

    def __init__(
        self,
        settings: Settings,
        decisions: Decisions,
        product_checks: Mapping[str, Check],
        own_backends: frozenset[str] = frozenset(),
    ) -> None:
        limit, safety = settings.limit, settings.safety
        self.intake = InputSanitizer(
            PictureLimits(limit.input_bytes, limit.image_pixels, limit.image_side),
            DecoderPool(DecodeLimits(limit.image_pixels, limit.decode_s)),
        )
        self.decoder_pool = DecoderPool(transform_limits(limit.image_pixels, limit.craft_s), os.cpu_count())
        self._limits = InputLimits(
            limit.input_bytes,
            limit.fetch_s,
            limit.uploads_of_owner,
            limit.upload_bytes_of_owner,
            settings.owner,
        )
        checks: list[Check] = _chosen("checks", safety.checks, settings, product_checks)
        classifiers: list[Classifier] = _chosen("classifiers", safety.classifiers, settings, {})
        self.prompts = PromptGate(CheckChain(checks), decisions)
        pictures = PictureGate(classifiers, decisions, self.intake.raster)
        self.output_checks = OutputChecks(
            self.intake.inspect, pictures.judge, self.decoder_pool.transform, own=own_backends
        )

    def inputs(self, store: JobStore, blobs: BlobStore, guard: UrlGuard, signer: UrlSigner) -> InputPictures:
        return InputPictures(store, blobs, guard, self._limits, self.intake, signer)


class InvalidSafety(ImagemillError):
    """The settings name a check, a list or a model that does not exist."""

    code = "invalid_safety_setting"


def _chosen(kind: str, names: Iterable[str], settings: Settings, of_products: Mapping[str, Any]) -> list[Any]:
    """Return the checks the settings name, in their order, without those that have nothing to check."""
    found = {entry.name: entry for entry in registered(kind)}
    known = (
        {*found, *(name for product in installed_products() for name in product.check_names)}
        if kind == "checks"
        else {*found}
    )
    built: list[Any] = []
    for name in names:
        if name == ALWAYS and kind == "checks":
            continue
        if name not in known:
            raise InvalidSafety(
                f"IMAGEMILL_SAFETY__{kind.upper()} names {name!r}; there are {', '.join(sorted(known))}"
            )
        try:
            rule = load_plugin(kind, found[name])(settings) if name in found else of_products.get(name)
        except ValueError as error:
            raise InvalidSafety(str(error)) from error
        if rule is not None:
            built.append(rule)
    return built


def own_words(settings: Settings) -> Check | None:
    terms = settings.safety.blocked_words
    return BlockedWords(terms) if terms else None


def profanity(settings: Settings) -> Check | None:
    safety = settings.safety
    return Profanity(safety.languages, Verdict(safety.profanity)) if safety.languages else None


def nsfw(settings: Settings) -> Classifier | None:
    safety = settings.safety
    if safety.nsfw_model is None:
        return None
    return Nsfw(safety.nsfw_model, output=safety.nsfw_output, flag=safety.nsfw_flag, block=safety.nsfw_block)
