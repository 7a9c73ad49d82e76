"""Split, merge, move, rename events and take it back; each change is one transaction, audited."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from photoorg.curate.reconcile import ANCHORED, MOVED
from photoorg.curate.titles import title
from photoorg.errors import ConflictError, InputError, NotFoundError
from photoorg.store.catalog import audit, event_decisions, events
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.events import Event

MOST_PHOTOS = 10_000


class EventEdits:
    """Changes of one tenant's events by one actor, inside the caller's transaction.

    Every method returns the event that came out and the number of the decision, which `undo` takes.
    """

    def __init__(self, tx: Transaction, actor: str) -> None:
        self._tx = tx
        self._actor = actor

    def split(
        self, event_id: int, *, at: str | None = None, photo_ids: Sequence[str] = ()
    ) -> tuple[Event, int]:
        """Take photos out into a new event: those listed, or those from photo `at` on.

        InputError if that would leave either side without photos.
        """
        tx = self._tx
        events.lock(tx)
        self._require(event_id)
        chosen = self._from(event_id, at) if at is not None else self._of(event_id, photo_ids)
        everything = set(_all_photos(tx, event_id))
        if not chosen or everything <= set(chosen):
            raise InputError(
                f"Splitting event {event_id} there would leave an event without photos.",
                fix="Choose some of its photos, but not all.",
            )
        (new,) = events.new_ids(tx, 1)
        event_decisions.copy_event(tx, event_id, new)
        detail = {"from": event_id, "photos": len(chosen)}
        decision = event_decisions.record(tx, "split", new, self._actor, detail)
        event_decisions.place(tx, decision, new, ANCHORED, photo_ids=chosen)
        event_decisions.place(tx, decision, event_id, ANCHORED, of_events=[event_id])
        return self._done("split", new, decision, [event_id, new], detail)

    def merge(self, event_ids: Sequence[int]) -> tuple[Event, int]:
        """Put all photos of several events into the first; the others are gone."""
        tx = self._tx
        wanted = list(dict.fromkeys(event_ids))
        if len(wanted) < 2:
            raise InputError("Merging takes two different events or more.")
        events.lock(tx)
        found = [self._require(event) for event in wanted]
        into = wanted[0]
        name = next((event.title for event in found if event.named), None)
        detail = {"merged": wanted[1:], "photos": sum(event.photos for event in found)}
        if name is not None and not found[0].named:
            detail["took_name"] = name
        decision = event_decisions.record(tx, "merge", into, self._actor, detail)
        event_decisions.place(tx, decision, into, ANCHORED, of_events=wanted)
        if "took_name" in detail:
            event_decisions.set_title(tx, into, name)
        return self._done("merge", into, decision, wanted, detail)

    def move(self, photo_ids: Sequence[str], event_id: int | None) -> tuple[Event, int]:
        """Put photos into another event, or into a new one of their own (None)."""
        tx = self._tx
        events.lock(tx)
        if not photo_ids or len(photo_ids) > MOST_PHOTOS:
            raise InputError(f"Between 1 and {MOST_PHOTOS} photos can be moved at once.")
        sources = events.event_of(tx, photo_ids)
        missing = sorted(set(photo_ids) - set(sources))
        if missing:
            raise NotFoundError(
                f"Photo {missing[0]!r} is in no event.", fix="Run `photoorg events detect` first."
            )
        if event_id is None:
            (target,) = events.new_ids(tx, 1)
            event_decisions.copy_event(tx, next(iter(sources.values())), target)
        else:
            target = self._require(event_id).event_id
        detail = {"photos": len(sources), "from": sorted(set(sources.values()))}
        decision = event_decisions.record(tx, "move", target, self._actor, detail)
        event_decisions.place(tx, decision, target, MOVED, photo_ids=list(sources))
        return self._done("move", target, decision, [target, *sources.values()], detail)

    def rename(self, event_id: int, name: str | None) -> tuple[Event, int]:
        """Give an event a name, or (None or blank) back the title it has by itself."""
        tx = self._tx
        events.lock(tx)
        self._require(event_id)
        wanted = (name or "").strip() or None
        if wanted is not None and (len(wanted) > 200 or "\0" in wanted):
            raise InputError("A name has at most 200 characters.")
        before = event_decisions.set_title(tx, event_id, wanted)
        detail = {"title": wanted, "before": before}
        decision = event_decisions.record(tx, "rename", event_id, self._actor, detail)
        return self._done("rename", event_id, decision, [], detail)

    def undo(self, decision_id: int) -> list[int]:
        """Take a decision back; the events that changed.

        ConflictError if it is undone already or a later decision on the same photos stands.
        """
        tx = self._tx
        events.lock(tx)
        decision = event_decisions.get(tx, decision_id)
        if decision is None:
            raise NotFoundError(
                f"There is no decision {decision_id}.", fix="`photoorg events history` lists them."
            )
        if decision.undone_at is not None:
            raise ConflictError(
                f"Decision {decision_id} is taken back already.",
                fix="`photoorg events history` shows those that stand.",
            )
        later = event_decisions.later(tx, decision_id)
        if later is not None:
            raise ConflictError(
                f"Decision {later} came later and concerns the same.", fix="Take that back first."
            )
        changed = event_decisions.take_back(tx, decision_id)
        if decision.kind == "rename":
            event_decisions.set_title(tx, decision.event_id, decision.detail["before"])
        elif decision.detail.get("took_name"):
            event_decisions.set_title(tx, decision.event_id, None)
        touched = changed | {decision.event_id}
        self._refresh(touched)
        audit.record(
            tx, self._actor, "event.undo", "event", str(decision.event_id), {"of": decision_id}
        )
        return sorted(event for event in touched if events.get(tx, event) is not None)

    def _done(
        self,
        action: str,
        event_id: int,
        decision: int,
        touched: Iterable[int],
        detail: Mapping[str, object],
    ) -> tuple[Event, int]:
        self._refresh(touched)
        told = {**detail, "decision": decision}
        audit.record(self._tx, self._actor, f"event.{action}", "event", str(event_id), told)
        return self._require(event_id), decision

    def _refresh(self, touched: Iterable[int]) -> None:
        for event in sorted(set(touched)):
            found = event_decisions.refresh(self._tx, event)
            if found is not None:
                event_decisions.set_auto_title(self._tx, event, title(*found))

    def _require(self, event_id: int) -> Event:
        return require(self._tx, event_id)

    def _of(self, event_id: int, photo_ids: Sequence[str]) -> list[str]:
        wanted = list(dict.fromkeys(photo_ids))
        if len(wanted) > MOST_PHOTOS:
            raise InputError(f"At most {MOST_PHOTOS} photos can be listed.", fix="Split at one.")
        inside = events.event_of(self._tx, wanted)
        for photo in wanted:
            if inside.get(photo) != event_id:
                raise NotFoundError(f"Photo {photo!r} is not in event {event_id}.")
        return wanted

    def _from(self, event_id: int, at: str) -> list[str]:
        self._of(event_id, [at])
        photos = _all_photos(self._tx, event_id)
        return photos[photos.index(at) :] if at in photos else []


def require(tx: Transaction, event_id: int) -> Event:
    """The event, or NotFoundError."""
    found = events.get(tx, event_id)
    if found is None:
        raise NotFoundError(
            f"There is no event {event_id}.", fix="`photoorg events list` shows those there are."
        )
    return found


def _all_photos(tx: Transaction, event_id: int) -> list[str]:
    found: list[str] = []
    after: str | None = None
    while True:
        some, after = events.photo_page(tx, event_id, after=after, limit=MOST_PHOTOS)
        found += some
        if after is None:
            return found
