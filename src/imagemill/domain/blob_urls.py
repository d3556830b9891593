"""The signed URLs of stored pictures: who may read one by it, and which picture one names.

Each form is signed over the artifact's id, or over the key of an upload:

    /blobs/{artifact id}.png?exp=...&sig=...
    /blobs/inputs/{owner hash}/{two digits}/{digest}.png?exp=...&sig=...
    /v2/consumer/blobs/{blob id}?exp=...&sig=...
    /v2/consumer/blobs/content/{exp}.{sig}.{blob id}
    /v2/consumer/blobs/archive/{exp}.{sig}.{blob id}

The digest of an upload does not say whose it is, so in v2 its ``sig`` begins with the owner's hash.
"""

import re
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from imagemill.domain.blob_keys import OutputId, UploadId, parse_blob_id
from imagemill.domain.dataclass import dataclass
from imagemill.domain.signing import UrlSigner

PATH = "/blobs"
V2_PATH = "/v2/consumer/blobs"
_OWNER_HASH = re.compile(r"[0-9a-f]{16}")
_TOKEN = re.compile(r"([0-9]{1,12})\.([0-9a-f-]{1,100})\.(.{1,200})")


@dataclass(frozen=True, slots=True)
class BlobGrant:
    """A blob of v2 with the signature that allows to read it without a key."""

    id: OutputId | UploadId
    name: str
    """The blob id as text."""
    expires: str
    """Seconds since the epoch."""
    signature: str

    @property
    def owner_hash(self) -> str:
        """The owner's hash of an upload; empty for a job's file."""
        mark, dash, _ = self.signature.partition("-")
        return mark if dash and isinstance(self.id, UploadId) and _OWNER_HASH.fullmatch(mark) else ""

    @property
    def query(self) -> str:
        return f"exp={self.expires}&sig={self.signature}"

    @property
    def token(self) -> str:
        """The same in one part of a path."""
        return f"{self.expires}.{self.signature}.{self.name}"

    def is_valid(self, signer: UrlSigner) -> bool:
        """Whether it is ours and has not expired."""
        return signer.check(self._signed, self.expires, self._digits)

    def is_ours(self, signer: UrlSigner) -> bool:
        """Whether it is ours, even if it has expired."""
        return signer.is_ours(self._signed, self.expires, self._digits)

    @property
    def _signed(self) -> str:
        return self.id.artifact_id if isinstance(self.id, OutputId) else self.id.key(self.owner_hash)

    @property
    def _digits(self) -> str:
        return self.signature.removeprefix(f"{self.owner_hash}-")


def grant(signer: UrlSigner, name: str, owner_hash: str = "") -> BlobGrant:
    """Sign a blob id. ``owner_hash`` is needed for an upload's."""
    id_ = parse_blob_id(name)
    assert id_ is not None  # noqa: S101 - callers have made or parsed it
    signed = signer.sign(id_.artifact_id if isinstance(id_, OutputId) else id_.key(owner_hash))
    expires, _, signature = signed.query.removeprefix("exp=").partition("&sig=")
    return BlobGrant(
        id_, name, expires, signature if isinstance(id_, OutputId) else f"{owner_hash}-{signature}"
    )


def grant_of(name: str, expires: str, signature: str) -> BlobGrant | None:
    """Return the grant of a URL's query, unchecked; None if the name is no blob id."""
    id_ = parse_blob_id(name)
    return BlobGrant(id_, name, expires, signature) if id_ is not None else None


def grant_in(token: str) -> BlobGrant | None:
    """Return the grant in a `BlobGrant.token`, unchecked; None for another text."""
    found = _TOKEN.fullmatch(token)
    return grant_of(found[3], found[1], found[2]) if found else None


def archive_url(url: str, file_name: str) -> str:
    """Return the address at which the file of a blob's signed URL is downloaded as an archive."""
    address, _, query = url.partition("?")
    folder, _, name = address.rpartition("/")
    given = parse_qs(query)
    token = f"{given['exp'][0]}.{given['sig'][0]}.{name}"
    return f"{folder}/archive/{token}?{urlencode({'filename': file_name})}"


def own_picture(url: str, signer: UrlSigner) -> str | None:
    """Return the name after ``blob:`` of the picture that one of our signed URLs names, even an expired one.

    None for any other URL.
    """
    try:
        return _named(url, signer)
    except ValueError:
        return None  # no URL, or one with characters that cannot be encoded


def _named(url: str, signer: UrlSigner) -> str | None:
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    path = unquote(parts.path)
    expires, signature = query.get("exp", [""])[0], query.get("sig", [""])[0]
    if path.startswith(f"{V2_PATH}/"):
        name = path.removeprefix(f"{V2_PATH}/")
        token = name.removeprefix("content/")
        found = grant_in(token) if token != name else grant_of(name, expires, signature)
        if found is None or not found.is_ours(signer):
            return None
        return found.id.artifact_id if isinstance(found.id, OutputId) else found.name
    if not path.startswith(f"{PATH}/"):
        return None
    name = path.removeprefix(f"{PATH}/")
    is_upload = name.startswith("inputs/")
    signed = name if is_upload else name.partition(".")[0]
    if not signer.is_ours(signed, expires, signature):
        return None
    return name.rpartition("/")[2] if is_upload else signed
