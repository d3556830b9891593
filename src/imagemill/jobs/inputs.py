"""Input pictures: accepted at submission, fetched when a job is prepared.

A data URL is checked and stored under the digest of its bytes at once. A URL is fetched by the worker,
through the guard: an address that cannot be reached costs retries, not the client's request.
"""

import base64
import binascii
import hashlib
import re
import threading
import time
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import unquote

from imagemill.blobs.base import BlobStore
from imagemill.domain.air import Resource
from imagemill.domain.blob_keys import (
    OutputId,
    UploadId,
    artifact_id,
    input_folder,
    input_key,
    owner_hash,
    parse_blob_id,
)
from imagemill.domain.blob_urls import own_picture
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import (
    BackendError,
    Conflict,
    InvalidInput,
    NotFound,
    UnsupportedPicture,
    UnusablePicture,
)
from imagemill.domain.failures import FailureCode
from imagemill.domain.signing import UrlSigner
from imagemill.jobs.store.store import JobStore
from imagemill.media.intake import InputSanitizer, SanitizedImage, parse
from imagemill.media.layout import InvalidImage, NotAccepted
from imagemill.media.pictures import EXTENSIONS, PictureInfo
from imagemill.model_registry.registry import Registry
from imagemill.net.url_guard import UrlGuard

if TYPE_CHECKING:
    import httpx2

    from imagemill.net.guarded_client import Deadline

_URL_SAFE = str.maketrans("-_", "+/")
_DATA_URL = re.compile(r"data:[a-z0-9.+/-]*(?:;[a-z0-9=_.-]+)*;base64,", re.IGNORECASE)
_MOST_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
_OWN = "blob:"
OUTPUT = "output:"
"""The prefix of a picture that another job of the same submission makes: ``output:JOB/POSITION``."""
_OUTPUT = re.compile(rf"{OUTPUT}([0-9a-f-]{{36}})/([0-9]{{1,4}})")
_KEY = re.compile(r"[0-9A-F]{64}")
_UNKNOWN = "names no finished picture of yours by its blobKey, and no upload of yours by its key"


@dataclass(frozen=True, slots=True)
class InputLimits:
    bytes: int
    fetch_s: float
    """The longest time of a fetch in seconds, from the first byte sent to the last one read."""
    files_of_owner: int = 10_000
    bytes_of_owner: int = 10 * 2**30
    free_owner: str = ""
    """The owner to whom the last two do not apply."""


@dataclass(frozen=True, slots=True)
class StoredInput:
    """An input picture in the blob store."""

    key: str
    """The key of its blob."""
    name: str
    """The name its owner may give after ``blob:``."""
    info: PictureInfo


_USAGE_S = 30.0
"""Seconds for which the usage of an owner is remembered, as counting it lists the owner's files."""
_MOST_USAGES = 10_000


class _InputUsage:
    """The files and bytes of input pictures that each owner has in the store, within its limits."""

    def __init__(self, blobs: BlobStore, limits: InputLimits) -> None:
        self._blobs = blobs
        self._limits = limits
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, int, int]] = {}
        """When it was counted, files and bytes, by owner."""

    def admit(self, owner: str, key: str, size: int) -> None:
        """Count a file that is about to be written. Raises `Conflict` beyond the owner's limits."""
        if owner == self._limits.free_owner:
            return
        with self._lock:
            known = self._known.get(owner)
        if known is None or time.monotonic() - known[0] > _USAGE_S or self._exceeds(known, size):
            sizes = {blob.key: blob.size for blob in self._blobs.list(input_folder(owner))}
            # A picture that is there already is written again and takes no more room.
            known = time.monotonic(), len(sizes), sum(sizes.values())
            if key not in sizes and self._exceeds(known, size):
                raise Conflict(self._refusal(known))
        with self._lock:
            if len(self._known) >= _MOST_USAGES:
                self._known.clear()
            self._known[owner] = known[0], known[1] + 1, known[2] + size

    def _exceeds(self, usage: tuple[float, int, int], size: int) -> bool:
        _, files, total = usage
        return files >= self._limits.files_of_owner or total + size > self._limits.bytes_of_owner

    def _refusal(self, usage: tuple[float, int, int]) -> str:
        _, files, total = usage
        limits = self._limits
        return (
            f"you have {files} input pictures of {total} bytes here, at most {limits.files_of_owner} of "
            f"{limits.bytes_of_owner} bytes are kept; wait until older ones are deleted after their "
            "retention (IMAGEMILL_BLOBS__INPUT_DAYS)"
        )


class InputPictures:
    """``signer`` finds our own signed URLs, whose pictures are not fetched; None: no URL is ours."""

    def __init__(
        self,
        store: JobStore,
        blobs: BlobStore,
        guard: UrlGuard,
        limits: InputLimits,
        intake: InputSanitizer,
        signer: UrlSigner | None = None,
    ) -> None:
        self._intake = intake
        self._signer = signer
        self._store = store
        self._blobs = blobs
        self._guard = guard
        self._limits = limits
        self._usage = _InputUsage(blobs, limits)

    @cached_property
    def _client(self) -> "httpx2.Client":
        """Loaded at the first fetch, with the HTTP client's modules."""
        from imagemill.net.guarded_client import guarded_client

        headers = {"User-Agent": "imagemill", "Accept": "image/*", "Accept-Encoding": "identity"}
        return guarded_client(self._guard, timeout_s=self._limits.fetch_s, headers=headers)

    def close(self) -> None:
        if "_client" in self.__dict__:
            self._client.close()
        self._intake.close()

    def accept(self, path: str, text: str, owner: str) -> str:
        """Return the source to keep for a client's picture. Raises `InvalidInput` at ``path``."""
        if text[:5].lower() == "data:":
            return self.keep_data_url(path, text, owner).key
        if text.startswith(_OWN) or parse_blob_id(text) is not None:
            source = self._own(path, text.removeprefix(_OWN), owner)
            if source is None:
                raise InvalidInput.at(path, _UNKNOWN)
            return source
        named = own_picture(text, self._signer) if self._signer is not None else None
        source = self._own(path, named, owner) if named is not None else None
        return source or self._guard.check_url(path, text)

    def keep_data_url(self, path: str, text: str, owner: str) -> StoredInput:
        """Store the picture of a data URL; see `keep`."""
        return self.keep(path, _decoded(path, text), owner)

    def load(self, source: str) -> bytes:
        """Return the picture's bytes, checked. Raises `BackendError` or `StorageError`."""
        if (output := _OUTPUT.fullmatch(source)) is not None:
            source = self._made(output[1], int(output[2]))
        if "://" not in source:
            try:
                return self._blobs.get(source)
            except NotFound as error:
                message = "an input picture was deleted after its retention; submit it again"
                raise BackendError(FailureCode.BAD_INPUT, message) from error
        data = self._fetch(source)
        try:
            return self._intake.sanitize(data).data
        except InvalidImage as error:
            message = f"the picture at {_shown(source)} {error}"
            raise BackendError(FailureCode.BAD_INPUT, message) from error

    def _made(self, job_id: str, position: int) -> str:
        """Return the key of a picture that another job has made. Raises `BackendError`."""
        found = self._store.artifact(artifact_id(job_id, position))
        if found is None or found[0].media_type not in EXTENSIONS:
            what = "made no picture" if found is None else f"made a file of the type {found[0].media_type}"
            message = f"job {job_id} {what} at position {position}, which is an input of this one"
            raise BackendError(FailureCode.BAD_INPUT, message)
        if not found[0].available:
            message = f"the picture of job {job_id} was deleted; submit both again"
            raise BackendError(FailureCode.BAD_INPUT, message)
        return found[0].blob_key

    def keep(self, path: str, data: bytes, owner: str) -> StoredInput:
        """Store a picture under the digest of its normalized bytes.

        Raises `InvalidInput` at ``path``: `UnsupportedPicture` for a file of another type, `UnusablePicture`
        for one that cannot be used. Raises `Conflict` if the owner keeps too much.
        """
        taken = self.sanitize(path, data)
        digest, extension = hashlib.sha256(taken.data).hexdigest(), EXTENSIONS[taken.info.media_type]
        key = input_key(owner, digest, extension)
        self._usage.admit(owner, key, len(taken.data))
        self._blobs.put(key, taken.data, taken.info.media_type)
        return StoredInput(key, f"{digest}.{extension}", taken.info)

    def sanitize(self, path: str, data: bytes) -> SanitizedImage:
        """Return a picture as it may be stored, without storing it. Raises `InvalidInput` like `keep`."""
        try:
            return self._intake.sanitize(data)
        except NotAccepted as error:
            raise UnsupportedPicture.at(path, str(error)) from error
        except InvalidImage as error:
            raise UnusablePicture.at(path, str(error)) from error

    def renew(self, upload: UploadId, owner: str) -> StoredInput:
        """Restart the retention of an upload. Raises `NotFound`."""
        key, data = self._written_again(upload, owner)
        layout = parse(data)
        info = PictureInfo(layout.media_type, layout.width, layout.height)
        return StoredInput(key, f"{upload.digest}.{upload.extension}", info)

    def _written_again(self, upload: UploadId, owner: str) -> tuple[str, bytes]:
        """Write an upload's blob again, so that its retention starts anew, and return its key and bytes."""
        key = upload.key(owner_hash(owner))
        data = self._blobs.get(key)
        self._blobs.put(key, data, f"image/{upload.extension}")
        return key, data

    def _own(self, path: str, name: str, owner: str) -> str | None:
        """Return the source of the owner's picture with this name after ``blob:``; None if there is none."""
        id_ = parse_blob_id(name)
        if isinstance(id_, UploadId):
            try:
                return self._written_again(id_, owner)[0]
            except NotFound:
                return None
        key = id_.artifact_id if isinstance(id_, OutputId) else name
        found = self._store.artifact(key) if _KEY.fullmatch(key) else None
        if found is None or found[1] != owner:
            return None
        if not found[0].available:
            raise InvalidInput.at(path, "names a picture that was deleted after its retention")
        return found[0].blob_key

    def _fetch(self, url: str) -> bytes:
        import httpx2

        from imagemill.net.guarded_client import Deadline

        deadline, shown = Deadline(self._limits.fetch_s), _shown(url)
        try:
            with deadline.running():
                return self._follow(url, deadline, shown)
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            cause = f"took longer than {self._limits.fetch_s:g} s" if deadline.passed else str(error)
            raise BackendError(FailureCode.BAD_INPUT, f"{shown} cannot be fetched: {cause}") from error

    def _follow(self, url: str, deadline: "Deadline", shown: str) -> bytes:
        """Fetch with at most three redirects; each address of a redirect is checked like the first one."""
        import httpx2

        for _ in range(_MOST_REDIRECTS + 1):
            with self._client.stream("GET", url, extensions=deadline.extensions) as response:
                if response.status_code == 200:
                    return self._read(response, shown)
                location = response.headers.get("location")
                if response.status_code not in _REDIRECTS or location is None:
                    raise BackendError(FailureCode.BAD_INPUT, f"{shown} answered {response.status_code}")
                url = str(httpx2.URL(url).join(location))
            try:
                self._guard.check_url("Location", url)
            except InvalidInput as error:
                message = f"{shown} redirects to an address that may not be fetched: {error}"
                raise BackendError(FailureCode.BAD_INPUT, message) from error
        raise BackendError(FailureCode.BAD_INPUT, f"{shown} redirects more than {_MOST_REDIRECTS} times")

    def _read(self, response: "httpx2.Response", shown: str) -> bytes:
        # Raw: a response compressed in spite of our header may be a bomb; unexpanded, it is no valid picture.
        body = bytearray()
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > self._limits.bytes:
                raise BackendError(
                    FailureCode.BAD_INPUT,
                    f"the picture at {shown} has more than the {self._limits.bytes} bytes that are accepted",
                )
        return bytes(body)


@dataclass(frozen=True, slots=True)
class OwnerResources:
    """An `imagemill.recipes.base.ResourceResolver` limited to what one owner may use."""

    registry: Registry
    inputs: InputPictures
    owner: str
    jobs: frozenset[str] = frozenset()
    """The jobs that are submitted together; the pictures of one may be the inputs of others."""

    def resource(self, path: str, air: str, *, kind: str | None = None) -> Resource:
        return self.registry.lookup(path, air, kind=kind)

    def default_checkpoint(self, path: str, family: str | None = None) -> Resource:
        return self.registry.default_checkpoint(path, family)

    def picture(self, path: str, text: str) -> str:
        if text.startswith(OUTPUT):
            return self._output(path, text)
        return self.inputs.accept(path, text, self.owner)

    def _output(self, path: str, text: str) -> str:
        """Return the source of a picture that another job of the submission is going to make."""
        found = _OUTPUT.fullmatch(text)
        if found is None or found[1] not in self.jobs:
            raise InvalidInput.at(path, "names no picture of another job of this request")
        return text


def _decoded(path: str, text: str) -> bytes:
    head = _DATA_URL.match(text)
    if head is None:
        raise InvalidInput.at(path, "is not a base64 data URL; one starts with data:image/png;base64,")
    # As data URLs and MIME encoders write it: percent-encoded, with line ends, URL-safe, or without padding.
    body = text[head.end() :]
    body = "".join((unquote(body) if "%" in body else body).split()).translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput.at(path, f"is not valid base64: {error}") from error


def _shown(url: str) -> str:
    """Return the URL without its query, which may hold a signature."""
    shown = url.partition("?")[0]
    return shown if len(shown) <= 200 else f"{shown[:197]}..."
