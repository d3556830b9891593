"""Statements sent together: each sees what those before it did, and one that fails ends them all."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from imagemill.db.group_commit import Tx
from imagemill.db.statements import Statement, run_together
from tests.store.build import opened

PUT = Statement(sa.text("INSERT INTO notes (id, text) VALUES (:id, :text)"))
ALL = Statement(sa.text("SELECT id, text FROM notes ORDER BY id"))
SOME = Statement(
    sa.select(sa.literal_column("text"))
    .select_from(sa.table("notes"))
    .where(sa.literal_column("id").in_(sa.bindparam("ids", expanding=True)))
)
CHANGE = Statement(sa.text("UPDATE notes SET text = :text WHERE id = :id"))
ONE, TWO = {"id": 1, "text": "one"}, {"id": 2, "text": "two"}


@pytest.fixture
def conn(database_url: str) -> Iterator[sa.Connection]:
    database = opened(database_url)
    with database.writer.connect() as conn:
        conn.execute(sa.text("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"))
        conn.commit()
        yield conn
    database.close()


def test_each_sees_what_those_before_it_did(conn: sa.Connection):
    with conn.begin():
        _, first, changed, then, some = run_together(
            conn,
            PUT.call_many([ONE, TWO]),
            ALL.call(),
            CHANGE.call_many([{"id": 1, "text": "uno"}, {"id": 7, "text": "seven"}]),
            ALL.call(),
            SOME.call({"ids": [2, 3]}),
        )
        assert first.rows() == [(1, "one"), (2, "two")]
        assert changed.changed == 1
        assert then.rows() == [(1, "uno"), (2, "two")]
        assert some.rows() == [("two",)]
        # A statement on its own goes on in the same transaction.
        assert len(ALL.run(conn)) == 2
    with conn.begin():
        assert len(ALL.run(conn)) == 2


def test_nothing_is_in_an_empty_list(conn: sa.Connection):
    with conn.begin():
        PUT.run(conn, ONE)
        assert SOME.run(conn, {"ids": []}) == []


def test_one_that_fails_undoes_all_and_says_so(conn: sa.Connection):
    driver_error = conn.dialect.dbapi.Error  # pyright: ignore[reportOptionalMemberAccess]
    with pytest.raises(driver_error), conn.begin():
        run_together(conn, PUT.call(ONE), PUT.call(ONE), PUT.call(TWO))
    with conn.begin():
        assert ALL.run(conn) == []


def test_what_is_inserted_late_comes_in_order_and_once(conn: sa.Connection):
    with conn.begin():
        tx = Tx(conn=conn)
        tx.insert_late(PUT, [ONE])
        tx.insert_late(PUT, [TWO])
        assert ALL.run(conn) == []
        tx.insert_now()
        tx.insert_now()
        assert ALL.run(conn) == [(1, "one"), (2, "two")]
