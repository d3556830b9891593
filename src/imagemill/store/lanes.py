"""Lanes: what jobs need of a slot, written once, never changed, so safe to keep in memory."""

import sqlalchemy as sa

from imagemill.domain.jobs import LaneKey
from imagemill.store import schema
from imagemill.store.commits import Tx
from imagemill.store.rows import lane_from, lane_to


class Lanes:
    def __init__(self) -> None:
        self._ids: dict[LaneKey, int] = {}
        self._keys: dict[int, LaneKey] = {}

    def id_of(self, tx: Tx, key: LaneKey) -> int:
        known = self._ids.get(key)
        return known if known is not None else self._create(tx, key)

    def key_of(self, conn: sa.Connection, lane: int) -> LaneKey:
        if lane not in self._keys:
            text = conn.execute(sa.select(schema.lanes.c.key).where(schema.lanes.c.id == lane)).scalar_one()
            self._keys[lane] = lane_from(text)
        return self._keys[lane]

    def known(self, lane: int) -> LaneKey:
        """Of a lane that `key_of` was asked for before."""
        return self._keys[lane]

    def _create(self, tx: Tx, key: LaneKey) -> int:
        text = lane_to(key)
        tx.conn.execute(tx.insert(schema.lanes).values(key=text).on_conflict_do_nothing())
        lane = tx.conn.execute(sa.select(schema.lanes.c.id).where(schema.lanes.c.key == text)).scalar_one()
        # Only the key's own text is remembered before the commit; an undone transaction must leave no id.
        tx.on_commit.append(lambda: self._remember(lane, key))
        return lane

    def _remember(self, lane: int, key: LaneKey) -> None:
        self._ids[key] = lane
        self._keys[lane] = key
