"""Blobs in a bucket of S3 or of a compatible store: R2, MinIO, Yandex, SeaweedFS.

Each object carries the SHA-256 of its bytes as metadata; `S3Blobs.get` verifies what it reads against it.
Each upload is sent with its SHA-256, so that the store rejects data damaged in transit; the signature covers
it as well, but not every store verifies that (SeaweedFS 4.48 does not).
"""

import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from imagemill.blobs.base import BlobInfo, Method, NewBlob, check_key
from imagemill.blobs.settings import S3Settings
from imagemill.domain.errors import Conflict, NotFound, StorageError

if TYPE_CHECKING:
    from obstore import Attributes, ObjectMeta
    from obstore.store import ClientConfig, S3Config

_DIGEST = "sha256"
_MARKER = "health/marker"
_PING_TIMEOUT_S = 2.0
_PING_EVERY_S = 2.0
"""Shortest interval between two requests; calls of `ping` in between share the last result."""
_WRITE_EVERY_S = 30.0
"""Interval between two writes of `ping`: a bucket can refuse writes, by policy or quota, and still be read.
"""
_PARTS_AT_ONCE = 4
_PAGE = 1000
"""Keys in one page of a listing: the most a store returns."""
_LONGEST_PRESIGNED_S = 7 * 86_400
"""The longest validity the protocol allows."""
_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"non-2xx status code: (\d+[ \w]*)")
_REASONS = (
    ("timedout", "the store did not answer in time"),
    ("timed out", "the store did not answer in time"),
    ("connection refused", "the store refuses connections"),
    ("dns error", "the store's host name cannot be resolved; check IMAGEMILL_S3__ENDPOINT"),
    ("certificate", "the store's certificate is not trusted; see IMAGEMILL_S3__CA_FILE"),
    ("error sending request", "the connection to the store broke"),
    ("error decoding response", "the store's answer was cut off"),
)
"""Texts in the client's errors, in lower case, and the reason that is reported for them."""
_REREAD_AFTER_S = 0.1


class S3Blobs:
    def __init__(self, settings: S3Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """Raise `StorageError` when the settings contradict each other. Does not connect."""
        self._settings = settings
        self._clock = clock
        self._store = _open(settings, settings.address, settings.timeout_s, settings.retries)
        self._signing = _open(settings, settings.public_endpoint or settings.address, settings.timeout_s, 0)
        self._probing = _open(settings, settings.address, min(_PING_TIMEOUT_S, settings.timeout_s), 0)
        self._ping_lock = threading.Lock()
        self._pinged: float | None = None
        self._problem: str | None = None
        self._written: float | None = None
        self._used_by_pid: int | None = None

    def put(self, key: str, data: bytes, media_type: str) -> None:
        check_key(key)
        with self._storage_errors("written"):
            self._upload(key, data, media_type, hashlib.sha256(data).hexdigest(), "overwrite")

    def create(self, key: str, data: bytes, media_type: str) -> None:
        check_key(key)
        digest = hashlib.sha256(data).hexdigest()
        with self._storage_errors("written"):
            if self._settings.conditional_put and not self._in_parts(data):
                with suppress(AlreadyExistsError):
                    self._upload(key, data, media_type, digest, "create")
                    return
            # A multipart upload cannot be conditional. Here the key is taken, absent again, or unknown.
            stored = self._digest_of(key)
            if stored is None and self._in_parts(data):
                # Seen once on a busy SeaweedFS: absent right after its parts had been joined.
                time.sleep(_REREAD_AFTER_S)
                stored = self._digest_of(key)
            if stored is None:
                self._upload(key, data, media_type, digest, "overwrite")
            elif stored != digest:
                raise Conflict(f"the key {key} holds another blob")

    def create_all(self, blobs: Sequence[NewBlob]) -> None:
        for blob in blobs:
            self.create(blob.key, blob.data, blob.media_type)

    def get(self, key: str) -> bytes:
        check_key(key)
        with self._storage_errors("read", key):
            found = obstore.get(self._store, key)
            data = bytes(found.bytes())
            digest = _digest_in(found.attributes)
        if digest is not None and hashlib.sha256(data).hexdigest() != digest:
            raise StorageError("the blob could not be read: it is damaged, its SHA-256 does not match")
        return data

    def read(self, key: str, start: int, stop: int) -> bytes:
        check_key(key)
        with self._storage_errors("read", key):
            return bytes(obstore.get_range(self._store, key, start=start, end=stop))

    def location(self, key: str) -> Path | None:
        check_key(key)
        return None

    def presign(self, method: Method, key: str, life_s: float) -> str | None:
        check_key(key)
        life = timedelta(seconds=min(max(life_s, 1.0), _LONGEST_PRESIGNED_S))
        with self._storage_errors("signed for"):
            return obstore.sign(self._signing, method, key, life)

    def delete(self, keys: Iterable[str]) -> None:
        given = tuple(keys)
        for key in given:
            check_key(key)
        with self._storage_errors("deleted"):
            obstore.delete(self._store, given)

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        check_key(prefix.rstrip("/"))
        with self._storage_errors("listed"):
            for page in self._pages(prefix):
                for each in page:
                    modified_at = round(each["last_modified"].timestamp() * 1_000_000)
                    yield BlobInfo(each["path"], each["size"], modified_at)

    def _pages(self, prefix: str) -> "Iterable[Sequence[ObjectMeta]]":
        # Another overload returns types of a package that is not installed.
        return obstore.list(self._store, prefix.rstrip("/"), chunk_size=_PAGE)  # pyright: ignore[reportUnknownMemberType]

    def close(self) -> None:
        """Nothing is done in the background."""

    def ping(self) -> None:
        with self._ping_lock:
            now = self._clock()
            if self._pinged is None or now - self._pinged >= _PING_EVERY_S:
                self._problem = self._probe()
                self._pinged = self._clock()
        if self._problem is not None:
            raise StorageError(self._problem)

    def _probe(self) -> str | None:
        """The reason why the store cannot be used, or None.

        The marker is written now and then and read meanwhile, which costs a tenth.
        """
        now = self._clock()
        is_written = self._written is not None and now - self._written < _WRITE_EVERY_S
        try:
            with self._storage_errors("looked up"):
                with suppress(FileNotFoundError):
                    if is_written and self._problem is None:
                        obstore.head(self._probing, _MARKER)
                        return None
                obstore.put(self._probing, _MARKER, b"imagemill", use_multipart=False)
                self._written = now
        except StorageError as error:
            return str(error)
        return None

    def _in_parts(self, data: bytes) -> bool:
        return len(data) > 2 * self._settings.part_bytes

    def _upload(
        self, key: str, data: bytes, media_type: str, digest: str, mode: Literal["create", "overwrite"]
    ) -> None:
        attributes: Attributes = {
            "Content-Type": media_type,
            "Cache-Control": "private, max-age=31536000, immutable",
            _DIGEST: digest,
        }
        if not media_type.startswith(("image/", "video/", "audio/")) or "svg" in media_type:
            attributes["Content-Disposition"] = "attachment"  # nothing a browser might run
        obstore.put(
            self._store,
            key,
            data,
            attributes=attributes,
            mode=mode,
            use_multipart=self._in_parts(data),
            chunk_size=self._settings.part_bytes,
            max_concurrency=_PARTS_AT_ONCE,
        )

    def _digest_of(self, key: str) -> str | None:
        """The SHA-256 of the blob under a key; None when there is none."""
        try:
            attributes = obstore.get(self._store, key, options={"head": True}).attributes
            return _digest_in(attributes) or hashlib.sha256(self.get(key)).hexdigest()
        except (FileNotFoundError, NotFound):
            return None

    @contextmanager
    def _storage_errors(self, what: str, key: str | None = None) -> Generator[None]:
        """Translate the client's errors. With a key, its absence is raised as `NotFound`."""
        self._used_by_pid = self._used_by_pid or os.getpid()
        if self._used_by_pid != os.getpid():
            # The client's threads do not survive a fork: it would wait for them forever.
            raise StorageError("the bucket was used before this process was forked; open it after the fork")
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            code = _CODE.search(str(error))
            if isinstance(error, FileNotFoundError) and key and not (code and code[1] == "NoSuchBucket"):
                raise NotFound(f"there is no blob {key}") from error
            raise StorageError(f"the blob could not be {what}: {_reason(str(error))}") from error


def _digest_in(attributes: "Attributes") -> str | None:
    # Some stores write the names of metadata with a capital.
    return next((value for name, value in attributes.items() if name.lower() == _DIGEST), None)


def _reason(text: str) -> str:
    """One line without addresses and keys: the store's answer, or why there was none."""
    status, code = _STATUS.search(text), _CODE.search(text)
    if status:
        return f"the store answered {status[1].strip()}" + (f" ({code[1]})" if code else "")
    lowered = text.lower()
    for fragment, reason in _REASONS:
        if fragment in lowered:
            return reason
    return text.partition("\n")[0][:200]


def _open(settings: S3Settings, endpoint: str | None, timeout_s: float, retries: int) -> S3Store:
    assert settings.bucket is not None  # noqa: S101 - the caller checked it
    if (settings.access_key_id is None) != (settings.secret_access_key is None):
        raise StorageError(
            "IMAGEMILL_S3__ACCESS_KEY_ID and IMAGEMILL_S3__SECRET_ACCESS_KEY belong together; "
            "set both, or neither to use the machine's role"
        )
    limit = timedelta(seconds=timeout_s)
    try:
        return S3Store(
            settings.bucket,
            prefix=settings.prefix.rstrip("/") or None,
            config=_config(settings, endpoint),
            client_options=_client(settings, endpoint, timeout_s),
            retry_config={
                "max_retries": retries,
                "retry_timeout": limit,
                "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2)},
            },
        )
    except (BaseError, OSError, ValueError) as error:
        raise StorageError(f"the S3 settings cannot be used: {error}") from error


def _config(settings: S3Settings, endpoint: str | None) -> "S3Config":
    config: S3Config = {
        "region": settings.region,
        "virtual_hosted_style_request": not settings.path_style,
    }
    if settings.checksums:
        config["checksum_algorithm"] = "SHA256"
    if endpoint is not None:
        if not settings.path_style:
            parts = urlsplit(endpoint)
            endpoint = parts._replace(netloc=f"{settings.bucket}.{parts.netloc}").geturl()
        # Both keys, as the variable AWS_ENDPOINT_URL_S3 would override the first one.
        config |= {"endpoint": endpoint, "aws_endpoint_url_s3": endpoint}
    if settings.access_key_id and settings.secret_access_key:
        config["access_key_id"] = settings.access_key_id
        config["secret_access_key"] = settings.secret_access_key.get_secret_value()
    if settings.session_token:
        config["session_token"] = settings.session_token.get_secret_value()
    return config


def _client(settings: S3Settings, endpoint: str | None, timeout_s: float) -> "ClientConfig":
    options: ClientConfig = {
        "allow_http": endpoint is not None and endpoint.startswith("http://"),
        "timeout": timedelta(seconds=timeout_s),
        "connect_timeout": timedelta(seconds=min(5.0, timeout_s)),
        "allow_invalid_certificates": not settings.verify_tls,
        "user_agent": "imagemill",
    }
    if settings.ca_file is not None:
        options["root_certificate"] = settings.ca_file.read_bytes()
    return options
