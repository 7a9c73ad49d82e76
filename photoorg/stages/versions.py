"""What serves: cutover, rollback and canary, each in one transaction once every slot is ready."""

from __future__ import annotations

import logging
import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import EllipsisType

from photoorg.curation_config import MigrationConfig
from photoorg.errors import (
    ConflictError,
    IndexNotReadyError,
    InputError,
    PhotoOrgError,
)
from photoorg.models import IndexVersion
from photoorg.space import Kind
from photoorg.stages.coverage import Coverage, Gap
from photoorg.stages.version_states import (
    find_space,
    find_version,
    require_change,
    require_unused,
    require_usable,
)
from photoorg.store.catalog import (
    Catalog,
    Transaction,
    audit,
    comparisons,
    delta,
    indexes,
    reports,
    spaces,
    switches,
)
from photoorg.store.catalog.reports import Holder
from photoorg.store.catalog.switches import Action, Switch

log = logging.getLogger(__name__)
POLL_S = 0.25
LOOKS = 5
"""How often a version is looked over anew where photos keep coming."""
Place = tuple[str, str]
"""(space id, version)"""


@dataclass(frozen=True, slots=True)
class State:
    """All versions, which space answers, the canary if there is one, and the last switch."""

    versions: list[IndexVersion]
    route: spaces.Route
    last: Switch | None


class Versions:
    """The versions of one tenant's indexes, and which of them serves.

    Changes of what serves exclude one another: of two that began from the same state, the first to
    commit wins and the other is a ConflictError. `coverage` looks a version over before it serves;
    jobs that activate what they just made of the one before do without.
    """

    def __init__(
        self,
        catalog: Catalog,
        tenant: str,
        config: MigrationConfig,
        coverage: Coverage | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._catalog = catalog
        self._tenant = tenant
        self._config = config
        self._coverage = coverage
        self._sleep = sleep

    def state(self, space_id: str | None = None) -> State:
        """What there is and what serves."""
        with self._catalog.tenant(self._tenant) as tx:
            listed = indexes.list_versions(tx, space_id)
            return State(listed, spaces.route(tx), switches.last(tx))

    def find(self, version: str, space_id: str | None = None) -> IndexVersion:
        """The version of that name; NotFoundError, InputError if several spaces have one."""
        with self._catalog.tenant(self._tenant) as tx:
            return find_version(tx, version, space_id)

    def activate(
        self,
        version: str,
        *,
        actor: str,
        space_id: str | None = None,
        force: bool = False,
        wait_s: float | None = None,
        basis: Switch | EllipsisType | None = ...,
    ) -> Switch:
        """Let a version serve, and its space be the tenant's default.

        Asks the slots to hold it, waits until all report that they do, then switches in one
        transaction. A version of another space needs a comparison that passed its gates, unless
        `force`, and must hold every photo; one of the same space must hold all that are found now.
        IndexNotReadyError if slots are not ready in time, ConflictError if another switch was
        faster, the gates did not pass or photos are lacking. `basis` is the last switch that the
        caller knows of (left out: the last one now).
        """
        target = self.find(version, space_id)
        return self._change(target, "cutover", actor, force=force, wait_s=wait_s, basis=basis)

    def rollback(self, *, actor: str, kind: Kind = "image", wait_s: float | None = None) -> Switch:
        """Let serve again what served before the last switch.

        ConflictError if nothing did or that is gone, or if another switch was faster.

        It is not held up by photos that came only to what served since: their number is
        `lacking` of the switch.
        """
        with self._catalog.tenant(self._tenant) as tx:
            last = switches.last(tx, kind)
            if last is None or last.from_space is None or last.from_version is None:
                raise ConflictError(
                    "There is nothing to roll back to: no version served before this one.",
                    fix="`photoorg index list` shows the versions there are.",
                )
            target = find_version(tx, last.from_version, last.from_space)
            if target.status == "deleted":
                space = find_space(tx, target.space_id)
                raise ConflictError(
                    f"Version {target.version}, which served before, was removed since.",
                    fix=f"`photoorg reembed --space {space.name}` makes another of its space.",
                )
        done = self._change(target, "rollback", actor, force=True, wait_s=wait_s, look=False)
        return self._counted(done, target)

    def canary(
        self, version: str, share: float, *, actor: str, wait_s: float | None = None
    ) -> None:
        """Serve a sticky share (0..1) of the users from a shadow version of another space; 0 ends.

        IndexNotReadyError, ConflictError as for activate.
        """
        if not 0.0 <= share <= 1.0:
            raise InputError(f"A share is between 0 and 1, not {share:g}.")
        target = self.find(version)
        with self._catalog.tenant(self._tenant) as tx:
            space = find_space(tx, target.space_id)
            default = spaces.get_default(tx, space.kind)
            if share and (default is None or default.id == space.id):
                raise ConflictError(
                    f"Space {space.id} already serves everybody.",
                    fix="A canary is a version of another space.",
                )
            if share:
                require_usable(target)
                indexes.want(tx, target.space_id, target.version)
        if share:
            self._look_over(target)
            self._wait(target, self._limit(wait_s))
        with self._catalog.tenant(self._tenant) as tx:
            delta.lock(tx)
            switches.lock(tx)
            if share:
                spaces.set_canary(tx, space, share, secrets.token_hex(8))
            elif not spaces.end_canary(tx, space.kind):
                return
            delta.switch(tx)
            detail = {"space": space.id, "share": share}
            audit.record(tx, actor, "index.canary", "index", target.version, detail)

    def retire(self, version: str, *, actor: str, space_id: str | None = None) -> IndexVersion:
        """Give up a version that is being built or waits: no photo is kept in it any more.

        Slots let go of it, maintenance removes its files. ConflictError for one that serves
        anybody, that is kept for a rollback, or that is retired already.
        """
        target = self.find(version, space_id)
        with self._catalog.tenant(self._tenant) as tx:
            delta.lock(tx)
            switches.lock(tx)
            target = find_version(tx, version, target.space_id)
            require_unused(tx, target, self._config.keep_days)
            indexes.want(tx, target.space_id, target.version, wanted=False)
            indexes.set_status(tx, target.space_id, target.version, "deleted")
            detail = {"space": target.space_id, "was": target.status}
            audit.record(tx, actor, "index.retire", "index", target.version, detail)
            return find_version(tx, version, target.space_id)

    def _change(
        self,
        target: IndexVersion,
        action: Action,
        actor: str,
        *,
        force: bool,
        wait_s: float | None,
        basis: Switch | EllipsisType | None = ...,
        look: bool = True,
    ) -> Switch:
        limit_s = self._limit(wait_s)
        require_usable(target)
        with self._catalog.tenant(self._tenant) as tx:
            kind = find_space(tx, target.space_id).kind
            require_change(tx, target, kind)
            basis = switches.last(tx, kind) if basis is ... else basis
            self._require_gates(tx, target, kind, force=force)
            indexes.want(tx, target.space_id, target.version)
        self._wait(target, limit_s)
        for _ in range(LOOKS):
            seen = self._look_over(target) if look else None
            with self._catalog.tenant(self._tenant) as tx:
                delta.lock(tx)
                switches.lock(tx)
                last = switches.last(tx, kind)
                if last != basis:
                    assert last is not None, "the history only grows"
                    raise ConflictError(
                        f"Version {last.to_version} of {last.to_space} was made to serve "
                        f"meanwhile, by {last.actor}.",
                        fix="Look at `photoorg index list` and decide again.",
                    )
                unready = self._unready(tx, target)
                if unready:
                    raise _not_ready(target, unready)
                if not self._moved(tx, target, seen):
                    return self._switch(tx, target, kind, action, actor)
        raise ConflictError(
            f"Photos keep coming while version {target.version} is looked over.",
            fix="Wait until the ingest that is running has ended.",
            retryable=True,
        )

    def _look_over(self, target: IndexVersion) -> Gap | None:
        """What it was found to hold; ConflictError if photos are lacking."""
        if self._coverage is None:
            return None
        serving = self._serving(target)
        same = serving is not None and serving.space_id == target.space_id
        found = self._coverage.gap(target, against=serving if same else None)
        if found.photo_ids:
            raise self._lacking(target, found, same=same)
        return found

    def _lacking(self, target: IndexVersion, found: Gap, *, same: bool) -> ConflictError:
        with self._catalog.tenant(self._tenant) as tx:
            name = find_space(tx, target.space_id).name
        lacking, wanted = len(found.photo_ids), found.wanted
        which = "photos that are found now" if same else "photos"
        fix = "Build one that has them: `photoorg index build`, which then serves."
        if not same:
            fix = f"Run `photoorg reembed --space {name}` again: it adds those, and no others."
        return ConflictError(
            f"Version {target.version} lacks {lacking} of {wanted} {which}.", fix=fix
        )

    def _moved(self, tx: Transaction, target: IndexVersion, seen: Gap | None) -> bool:
        if seen is None or self._coverage is None:
            return False
        return self._coverage.moved(tx, target.space_id, seen.mark)

    def _serving(self, target: IndexVersion) -> IndexVersion | None:
        with self._catalog.tenant(self._tenant) as tx:
            default = spaces.get_default(tx, find_space(tx, target.space_id).kind)
            found = indexes.active(tx, default.id) if default is not None else None
        return None if found is None else found[0]

    def _counted(self, done: Switch, target: IndexVersion) -> Switch:
        """With the number of photos that were found before and are not now."""
        if self._coverage is None or done.from_version is None or done.from_space is None:
            return done
        try:
            before = self.find(done.from_version, done.from_space)
            lacking = len(self._coverage.gap(target, against=before).photo_ids)
        except PhotoOrgError as error:  # it serves already: this is only to tell
            log.warning("what %s lacks cannot be told: %s", target.version, error)
            return done
        if not lacking:
            return done
        log.warning("%d photos found before are not in version %s", lacking, target.version)
        with self._catalog.tenant(self._tenant) as tx:
            switches.note_lacking(tx, done.switch_id, lacking)
        return replace(done, lacking=lacking)

    def _switch(
        self, tx: Transaction, target: IndexVersion, kind: Kind, action: Action, actor: str
    ) -> Switch:
        default = spaces.get_default(tx, kind)
        before = indexes.active(tx, default.id) if default is not None else None
        indexes.activate(tx, target.space_id, target.version)
        if default is None or default.id != target.space_id:
            if before is not None:
                indexes.set_status(tx, before[0].space_id, before[0].version, "deprecated")
            spaces.set_default(tx, target.space_id, kind)
        spaces.end_canary(tx, kind)
        place = (before[0].space_id, before[0].version) if before is not None else None
        after = (target.space_id, target.version)
        switches.record(tx, kind, action, place, after, actor)
        detail = {"space": target.space_id, "from": place}
        audit.record(tx, actor, f"index.{action}", "index", target.version, detail)
        done = switches.last(tx, kind)
        assert done is not None, "it was recorded above"
        return done

    def _require_gates(
        self, tx: Transaction, target: IndexVersion, kind: Kind, *, force: bool
    ) -> None:
        default = spaces.get_default(tx, kind)
        other = default is not None and default.id != target.space_id
        if force or not other or not self._config.require_gates:
            return
        found = comparisons.get(tx, target.space_id, target.version)
        if found is None:
            raise ConflictError(
                f"Version {target.version} is of another space and was never compared.",
                fix=f"Run `photoorg index compare {target.version}`, or force the cutover.",
            )
        if not found.passed:
            failed = [g["name"] for g in found.report.get("gates", ()) if not g["passed"]]
            raise ConflictError(
                f"Version {target.version} did not pass its gates: {', '.join(failed)}.",
                fix="Look at the comparison's report; change `migration.gates`, or force it.",
            )

    def _limit(self, wait_s: float | None) -> float:
        if wait_s is None:
            return self._config.preload_timeout_s
        if not 0.0 <= wait_s < math.inf:
            raise InputError(f"Slots cannot be waited for {wait_s:g} s.", fix="Give 0 or more.")
        return wait_s

    def _wait(self, target: IndexVersion, limit_s: float) -> None:
        end = time.monotonic() + limit_s
        while True:
            with self._catalog.tenant(self._tenant) as tx:
                unready = self._unready(tx, target)
            if not unready:
                return
            if time.monotonic() >= end:
                raise _not_ready(target, unready)
            self._sleep(POLL_S)

    def _unready(self, tx: Transaction, target: IndexVersion) -> list[str]:
        """Slots that serve the tenant and do not hold the version, in words."""
        holders = reports.holders(tx, self._config.report_age_s)
        place = (target.space_id, target.version)
        lacking = [
            f"slot {h.slot} of {h.slots} (replica {h.replica})"
            for h in holders
            if place not in h.held
        ]
        return lacking + _silent(holders)


def _silent(holders: Sequence[Holder]) -> list[str]:
    """Slots none of whose replicas speaks, while others of the same set do."""
    found: list[str] = []
    for slots in sorted({h.slots for h in holders}):
        speaking = {h.slot for h in holders if h.slots == slots}
        found += [f"slot {n} of {slots} (silent)" for n in range(slots) if n not in speaking]
    return found


def _not_ready(target: IndexVersion, unready: Sequence[str]) -> IndexNotReadyError:
    return IndexNotReadyError(
        f"Version {target.version} is not held everywhere yet: {', '.join(unready)}.",
        fix="Try again shortly; the log of that slot says what keeps it.",
    )
