"""Addresses of databases, as text. Imports no driver: settings are read before one is needed."""

import re
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from imagemill.settings import SecretUrl

_SCHEMA = re.compile(r"-c search_path=(\w+)")
_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def sqlite_address(file: Path) -> str:
    """Return the address of an SQLite file; a ``%`` or ``?`` in its path would be read as part of a URL."""
    return "sqlite:///" + quote(str(file), safe="/:\\ ")


def schema_parameter(url: str) -> str | None:
    """Return the parameter ``schema`` of a PostgreSQL address, such as ``postgresql://db/shop?schema=mill``.

    Raises `ValueError` when it is no name.
    """
    if not url.startswith("postgres"):
        return None
    schema = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True)).get("schema")
    if schema is not None and not _SCHEMA_NAME.fullmatch(schema):
        raise ValueError("schema should be a lower-case name, such as ?schema=imagemill")
    return schema


def check_schema(url: SecretUrl | None, *, is_pooled: bool) -> None:
    """Raise `ValueError` for a schema that is no name, and for one behind a pooler, which has its own."""
    schema = None if url is None else schema_parameter(url.get_secret_value())
    if schema is not None and is_pooled:
        raise ValueError(
            f"schema={schema} in IMAGEMILL_DATABASE_URL does not pass a pooler; remove it and give the "
            f"user the schema: ALTER ROLE name SET search_path = {schema}"
        )


def driver_address(url: str) -> str:
    """Return the address for the driver, whose sessions look for tables in the schema of the address."""
    schema = schema_parameter(url)
    if schema is None:
        return url
    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query))
    del given["schema"]
    given["options"] = f"{given.get('options', '')} -c search_path={schema}".strip()
    return parts._replace(query=urlencode(given, quote_via=quote)).geturl()


def schema_in(options: str) -> str | None:
    """Return the schema that `driver_address` has written into the options of an address."""
    found = _SCHEMA.search(options)
    return found[1] if found else None
