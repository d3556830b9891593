"""Forms with files (``multipart/form-data``), read as hostile input."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import InvalidInput, UnusablePicture

IN_MEMORY_BYTES = 2**20
"""A larger upload waits on disk until it is whole, so that slow clients hold no memory."""
FORM_BYTES = 64 * 2**10
"""Bytes that a form may have around its files, and that each of its other fields may have."""
_MOST_FIELDS = 20


@dataclass(frozen=True, slots=True)
class FormLimits:
    files: int = _MOST_FIELDS
    fields: int = _MOST_FIELDS
    file_bytes: int | None = None
    """None means as many as the request's body may have."""


class _FileTooLarge(MultiPartException):
    def __init__(self, field: str, most: int) -> None:
        super().__init__(f"has more than {most // 1_000_000} MB; send a smaller picture")
        self.field = field


class _FormParser(MultiPartParser):
    """Starlette's parser, which alone would take a form that is cut off for a whole one."""

    spool_max_size = IN_MEMORY_BYTES

    def __init__(self, request: Request, limits: FormLimits) -> None:
        self._whole = False
        self._file_bytes = limits.file_bytes
        self._read_bytes = 0
        super().__init__(
            request.headers,
            self._chunks(request),
            max_files=limits.files,
            max_fields=limits.fields,
            max_part_size=FORM_BYTES,
        )

    def on_part_begin(self) -> None:
        self._read_bytes = 0
        super().on_part_begin()

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._current_part
        self._read_bytes += end - start
        if part.file is not None and self._file_bytes is not None and self._read_bytes > self._file_bytes:
            raise _FileTooLarge(part.field_name, self._file_bytes)
        super().on_part_data(data, start, end)

    def on_end(self) -> None:
        self._whole = True

    async def _chunks(self, request: Request) -> AsyncGenerator[bytes]:
        async for chunk in request.stream():
            yield chunk
        if not self._whole:
            raise MultiPartException("it is cut off")


@asynccontextmanager
async def read_form(
    request: Request, limits: FormLimits = FormLimits(), *, otherwise: str = ""
) -> AsyncGenerator[FormData]:
    """Read the form of a request; its files are closed afterwards.

    Raises `InvalidInput`. ``otherwise`` ends the sentence for a body of another type.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise InvalidInput.at("Content-Type", f"must be multipart/form-data with a boundary{otherwise}")
    try:
        form = await _FormParser(request, limits).parse()
    except _FileTooLarge as error:
        raise UnusablePicture.at(error.field, error.message) from error
    except MultiPartException as error:
        raise InvalidInput.at("", f"is no whole form: {error.message}") from error
    try:
        yield form
    finally:
        await form.close()
