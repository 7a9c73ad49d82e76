"""What the state of a version allows: who asks for more is told what to do instead."""

from __future__ import annotations

from photoorg.errors import ConflictError, InputError, NotFoundError
from photoorg.models import IndexVersion
from photoorg.space import EmbeddingSpace, Kind
from photoorg.store.catalog import Transaction, indexes, spaces


def find_version(tx: Transaction, version: str, space_id: str | None) -> IndexVersion:
    """The version of that name; NotFoundError, InputError if several spaces have one."""
    found = [v for v in indexes.list_versions(tx, space_id) if v.version == version]
    if not found:
        raise NotFoundError(
            f"There is no index version {version!r}.",
            fix="`photoorg index list` shows those there are.",
        )
    if len(found) > 1:
        raise InputError(
            f"{len(found)} spaces have a version {version!r}.", fix="Name the space as well."
        )
    return found[0]


def find_space(tx: Transaction, space_id: str) -> EmbeddingSpace:
    """The space of that id, or NotFoundError."""
    space = spaces.get(tx, space_id)
    if space is None:
        raise NotFoundError(f"There is no space {space_id!r} here.")
    return space


def require_usable(target: IndexVersion) -> None:
    """ConflictError for a version that is not whole, or gone."""
    if target.status in ("building", "deleted"):
        raise ConflictError(
            f"Index version {target.version!r} is {target.status} and cannot serve.",
            fix="Choose one that is shadow or deprecated (`photoorg index list`).",
        )


def require_change(tx: Transaction, target: IndexVersion, kind: Kind) -> None:
    """ConflictError for a version that serves already."""
    default = spaces.get_default(tx, kind)
    if default is not None and default.id == target.space_id and target.status == "active":
        raise ConflictError(
            f"Index version {target.version!r} serves already.",
            fix="`photoorg index list` shows the others.",
        )


def require_unused(tx: Transaction, target: IndexVersion, keep_days: float) -> None:
    """ConflictError for a version that may not be retired.

    That is one that serves anybody, is kept for a rollback, or is retired already.
    """
    kept = f"Maintenance removes it {keep_days:g} days after it served (`migration.keep_days`)."
    whys = {
        "active": ("serves", "Let another one serve first: `photoorg index activate`."),
        "deprecated": ("is kept so that a rollback finds it", kept),
        "deleted": ("is retired already", "`photoorg maintain` removes its files."),
    }
    why = whys.get(target.status)
    canary = spaces.route(tx, find_space(tx, target.space_id).kind).canary
    serving = indexes.serving(tx, target.space_id)
    if canary is not None and canary.id == target.space_id and serving is not None:
        if serving[0].version == target.version:
            end = f"End the canary first: `photoorg index canary {target.version} 0`."
            why = ("serves a share of the users", end)
    if why is not None:
        said, fix = why
        raise ConflictError(f"Index version {target.version!r} {said}.", fix=fix)
