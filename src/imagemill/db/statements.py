"""Statements that are compiled once and sent straight to the driver.

At every execution, SQLAlchemy walks a statement to find it in its cache, and wraps the result. That costs
several times the database's work for a row found by key. The few statements that every job uses are therefore
compiled once for each database and then go straight to the driver, in the transaction that SQLAlchemy has
begun. Their parameters and columns have types that need no conversion.

PostgreSQL is reached over a socket, and each round trip costs both sides a process switch, which is more than
most of these statements cost. Statements that do not need each other's results are therefore sent together;
see `run_together`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json, to_json

from imagemill.domain.dataclass import dataclass

Parameters = Mapping[str, Any]

_LIST = "(__[POSTCOMPILE_ids])"
"""SQLAlchemy's text for an expanding parameter whose length is not known yet."""


_IDLE = 0
"""libpq's state of a connection without a transaction (PQTRANS_IDLE)."""


class Statement:
    """One statement for both databases. ``:ids`` stands for a list of any length, in parentheses."""

    def __init__(self, statement: sa.Executable) -> None:
        self._statement = statement
        self._texts: dict[tuple[str, int], _Text] = {}

    def run(self, conn: sa.Connection, parameters: Parameters | None = None) -> list[tuple[Any, ...]]:
        """Run the statement and return its rows, if it returns any."""
        return self.call(parameters).begin(conn).rows()

    def run_many(self, conn: sa.Connection, rows: Sequence[Parameters]) -> int:
        """Run the statement for each row of parameters; return the number of changed rows."""
        return self.call_many(rows).begin(conn).changed

    def call(self, parameters: Parameters | None = None) -> "BoundStatement":
        """Bind parameters, to run the statement together with others."""
        return BoundStatement(self, parameters or {})

    def call_many(self, rows: Sequence[Parameters]) -> "BoundStatement":
        """Bind rows of parameters, to run the statement together with others."""
        return BoundStatement(self, {}, rows)

    def begin(self, conn: sa.Connection, given: Parameters) -> "PendingResult":
        ids = given.get("ids")
        text = self._text(conn, -1 if ids is None else len(ids))
        if ids is not None:
            given = {**given, **{f"ids_{number}": id_ for number, id_ in enumerate(ids, start=1)}}
        raw, arguments = driver(conn), text.arguments(given)
        if conn.dialect.name != "sqlite" and not raw.autocommit and raw.info.transaction_status == _IDLE:
            # The transaction's BEGIN goes with its first statement.
            with raw.pipeline():
                return PendingResult(raw.execute(text.sql, arguments), text.returns)
        return PendingResult(raw.execute(text.sql, arguments), text.returns)

    def begin_many(self, conn: sa.Connection, rows: Sequence[Parameters]) -> "PendingResult":
        text = self._text(conn, -1)
        cursor = driver(conn).cursor()
        cursor.executemany(text.sql, [text.arguments(row) for row in rows])
        return PendingResult(cursor, returns=False)

    def _text(self, conn: sa.Connection, count: int) -> "_Text":
        key = (conn.dialect.name, count)
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = _compile(self._statement, conn.dialect, count)
        return text


@dataclass(frozen=True, slots=True)
class BoundStatement:
    """A statement with its parameters. ``many``: run it once for each of these."""

    statement: Statement
    parameters: Parameters
    many: Sequence[Parameters] | None = None

    def begin(self, conn: sa.Connection) -> "PendingResult":
        if self.many is None:
            return self.statement.begin(conn, self.parameters)
        return self.statement.begin_many(conn, self.many)


@dataclass(frozen=True, slots=True)
class PendingResult:
    """A statement that was sent; its result may not have arrived yet."""

    cursor: Any
    returns: bool

    def rows(self) -> list[tuple[Any, ...]]:
        return self.cursor.fetchall() if self.returns else []

    @property
    def changed(self) -> int:
        return self.cursor.rowcount


def run_together(conn: sa.Connection, *calls: BoundStatement) -> list[PendingResult]:
    """Run the statements in order; each sees the effects of those before it. PostgreSQL gets them in one
    round trip. Raises the error of the first that failed; the statements after it were not run."""
    if conn.dialect.name == "sqlite" or len(calls) == 1:
        return [call.begin(conn) for call in calls]
    with driver(conn).pipeline():
        return [call.begin(conn) for call in calls]


def driver(conn: sa.Connection) -> Any:
    """Return the sqlite3 or psycopg connection below; its errors are `conn.dialect.dbapi.Error`."""
    return conn.connection.driver_connection


class _Text:
    def __init__(self, sql: str, order: Sequence[str] | None, constants: Parameters) -> None:
        self.sql = sql
        self.returns = "RETURNING" in sql or sql.lstrip().startswith(("SELECT", "WITH"))
        """Whether it returns rows; read from the text, as asking the driver makes it describe every column.
        """
        self._order = order
        self._constants = constants

    def arguments(self, given: Parameters) -> Any:
        values = {**self._constants, **given} if self._constants else given
        return values if self._order is None else tuple(map(values.__getitem__, self._order))


def _compile(statement: Any, dialect: sa.Dialect, count: int) -> _Text:
    compiled = statement.compile(dialect=dialect)
    constants = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
    names = [f"ids_{number}" for number in range(1, count + 1)]
    order = compiled.positiontup if compiled.positional else None
    if order is None:
        marks = ", ".join(f"%({name})s" for name in names)
    else:
        marks = ", ".join("?" for _ in names)
        order = [name for place in order for name in (names if place == "ids" else [place])]
    # PostgreSQL has no empty list; no value is IN (NULL).
    return _Text(compiled.string.replace(_LIST, f"({marks or 'NULL'})"), order, constants)


def dump(value: Any) -> str:
    """Return the JSON text of a value, for a text column."""
    return to_json(value).decode()


def load(text: str) -> dict[str, Any]:
    """Return the object of a JSON text column."""
    return from_json(text)
