"""Scenes in the catalog: found, named, mapped, offered as albums."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.curate import projection
from photoorg.curate.scenes import (
    Scene,
    find_scenes,
    name_by_time,
    name_scene,
    unique_names,
    worth_offering,
)
from photoorg.curation_config import ScenesConfig
from photoorg.store.catalog import Catalog, Transaction, albums, audit, scenes
from photoorg.store.catalog.albums import Album
from photoorg.store.catalog.scenes import Member, NewScene


@dataclass(frozen=True, slots=True)
class ScenesSummary:
    """What a clustering of photos came to; `noise` counts photos of no scene."""

    photos: int
    scenes: int
    noise: int
    method: str
    space: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return asdict(self)


class SceneAlbums:
    """A tenant's scenes and the albums suggested from them."""

    def __init__(self, catalog: Catalog, tenant: str, config: ScenesConfig, actor: str) -> None:
        self._catalog = catalog
        self._tenant = tenant
        self._config = config
        self._actor = actor

    def cluster(
        self, ids: Sequence[str], x_nd: NDArray[np.float32], space_id: str
    ) -> ScenesSummary:
        """Find the scenes of photos with unit vectors [n, dim]; they replace those before."""
        started = time.monotonic()
        found = find_scenes(x_nd, self._config)
        xy_n2 = projection.project(x_nd)
        with self._catalog.tenant(self._tenant) as tx:
            names = self._names(tx, ids, found)
            made = [
                _stored(scene, name, ids, xy_n2) for scene, name in zip(found, names, strict=True)
            ]
            settings = self._config.model_dump()
            scenes.replace(tx, space_id, settings, made, photos=len(ids))
            held = sum(len(scene.rows) for scene in found)
            summary = ScenesSummary(
                photos=len(ids),
                scenes=len(found),
                noise=len(ids) - held,
                method=self._config.method,
                space=space_id,
                seconds=round(time.monotonic() - started, 3),
            )
            audit.record(tx, self._actor, "scenes.cluster", "scenes", space_id, summary.to_dict())
        return summary

    def suggest(self) -> list[Album]:
        """Albums from the scenes instead of earlier suggestions that nobody answered.

        Scenes that are too small, mostly in one album already, or much like one that was refused
        are passed over.
        """
        with self._catalog.tenant(self._tenant) as tx:
            albums.clear_suggestions(tx)
            others = [*albums.contents(tx, "manual"), *albums.refused(tx)]
            made = []
            for scene in _all(tx):
                members, _ = scenes.members(tx, scene.scene_id, limit=None)
                photos = frozenset(m.photo_id for m in members)
                if not worth_offering(photos, others, self._config, scene.cohesion):
                    continue
                others.append(photos)
                made.append(
                    albums.create(
                        tx,
                        scene.name,
                        sorted(photos),
                        actor=self._actor,
                        kind="suggested",
                        reason=f"{len(photos)} photos that look alike"
                        f" (mean cosine {scene.cohesion:.2f} to their middle)",
                        cover_id=scene.cover_id,
                    )
                )
        return made

    def map(self) -> bytes:
        """A PNG of all scenes on the plane."""
        places, labels, names = [], [], []
        with self._catalog.tenant(self._tenant) as tx:
            for number, scene in enumerate(_all(tx)):
                members, _ = scenes.members(tx, scene.scene_id, limit=None)
                places += [(m.x, m.y) for m in members]
                labels += [number] * len(members)
                names.append(scene.name)
        xy_n2 = np.array(places, np.float32).reshape(-1, 2)
        return projection.draw(xy_n2, np.array(labels, np.int64), names)

    def _names(self, tx: Transaction, ids: Sequence[str], found: Sequence[Scene]) -> list[str]:
        overall = scenes.tags(tx)
        names = []
        for number, scene in enumerate(found, 1):
            members = [ids[row] for row in scene.rows.tolist()]
            tags = scenes.tags(tx, members) if overall else {}
            name = name_scene(tags, len(members), overall, len(ids))
            names.append(name or name_by_time(scenes.taken_at(tx, members)) or f"Scene {number}")
        return unique_names(names)


def _stored(scene: Scene, name: str, ids: Sequence[str], xy_n2: NDArray[np.float32]) -> NewScene:
    members = [
        Member(ids[row], float(score), float(xy_n2[row, 0]), float(xy_n2[row, 1]))
        for row, score in zip(scene.rows.tolist(), scene.scores.tolist(), strict=True)
    ]
    return NewScene(name, scene.cohesion, ids[scene.cover], members)


def _all(tx: Transaction) -> list[scenes.StoredScene]:
    found, after = scenes.page(tx, limit=1000)
    while after is not None:
        following, after = scenes.page(tx, after=after, limit=1000)
        found += following
    return found
