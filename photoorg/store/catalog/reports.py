"""What the replicas of shard slots say they hold: a cutover waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from photoorg.store.catalog.connection import Transaction


@dataclass(frozen=True, slots=True)
class Held:
    """An index version in the memory of a replica, with changes up to `seq` counted in."""

    space_id: str
    version: str
    seq: int


@dataclass(frozen=True, slots=True)
class Holder:
    """A replica of slot `slot` of `slots` that spoke lately; it holds these (space, version)."""

    replica: str
    slot: int
    slots: int
    held: frozenset[tuple[str, str]]


def say(tx: Transaction, replica: str, slot: int, slots: int, held: Sequence[Held]) -> None:
    """Replace what the replica said before about this tenant."""
    tx.conn.execute(
        "DELETE FROM slot_reports WHERE tenant_id = %s AND replica = %s", [tx.tenant, replica]
    )
    with tx.conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO slot_reports"
            " (tenant_id, replica, space_id, version, slot, slots, delta_seq)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [
                (tx.tenant, replica, h.space_id, h.version, slot, slots, h.seq)
                for h in dict.fromkeys(held)
            ],
        )


def leave(tx: Transaction, replica: str) -> None:
    """The replica holds nothing of this tenant any more."""
    say(tx, replica, 0, 0, ())


def holders(tx: Transaction, max_age_s: float) -> list[Holder]:
    """Replicas that spoke within `max_age_s` seconds."""
    rows = tx.conn.execute(
        "SELECT replica, slot, slots, array_agg(space_id), array_agg(version) FROM slot_reports"
        " WHERE tenant_id = %s AND at > now() - make_interval(secs => %s)"
        " GROUP BY replica, slot, slots ORDER BY slot, replica",
        [tx.tenant, max_age_s],
    )
    return [
        Holder(replica, slot, slots, frozenset(zip(spaces, versions, strict=True)))
        for replica, slot, slots, spaces, versions in rows
    ]


def forget(tx: Transaction, older_than_s: float) -> int:
    """Remove what replicas said that have not spoken since; how many lines."""
    return tx.conn.execute(
        "DELETE FROM slot_reports WHERE tenant_id = %s AND at < now() - make_interval(secs => %s)",
        [tx.tenant, older_than_s],
    ).rowcount
