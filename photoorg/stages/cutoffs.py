"""Calibrating a tenant's searches: cutoffs fitted to its own vectors, and put in force."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photoorg.config import PhotoOrgConfig
from photoorg.encoders import nonsense
from photoorg.encoders.base import Encoder, TextEncoder
from photoorg.encoders.prompts import load_prompts
from photoorg.encoders.several import SpaceEncoders
from photoorg.errors import EncoderUnavailableError, NotFoundError
from photoorg.index.base import FloatMatrix
from photoorg.index.calibration import Best, ExactProbe, combine, nothing
from photoorg.index.cutoffs import LEAST_PHOTOS, Cutoffs, best_neighbours, fit_images, fit_texts
from photoorg.index.photo_ids import comparable
from photoorg.index.rescore import unit
from photoorg.index.sample import Sample
from photoorg.index.views import nearness
from photoorg.space import EmbeddingSpace
from photoorg.stages.publish import new_version
from photoorg.stages.vectors import VectorSnapshot
from photoorg.store.catalog import Catalog, Transaction, originals, spaces, thresholds
from photoorg.store.catalog.thresholds import Change
from photoorg.store.objects import ObjectStore

log = logging.getLogger(__name__)
SAMPLE = 1_000
"""Photos drawn: half a million pairs."""
PROBES = 400
"""Of them, those whose best neighbour is looked for in the whole library."""
PICTURES, TEXTS = 32, 100
CUTOFFS = ("search.image", "search.text")
"""How the names of cutoffs begin."""

Keys = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Fitted:
    """Cutoffs of a space by kind of query (image, text), and what they were fitted to.

    `real` is the share of the library's own photos that stay above the cutoff; `nonsense` the share
    of pictures of nothing, and of made-up texts, below it, where an encoder made some.
    """

    space: EmbeddingSpace
    photos: int
    cutoffs: dict[str, Cutoffs]
    real: dict[str, float]
    nonsense: dict[str, float]

    def thresholds(self) -> dict[str, float]:
        """As they are kept."""
        return {
            name: value
            for kind, found in self.cutoffs.items()
            for name, value in found.to_thresholds(kind).items()
        }


class Background:
    """How near photos of a library are to each other by chance; fed with its vectors twice."""

    def __init__(self, dim: int, views: int) -> None:
        self.drawn = Sample(SAMPLE, dim, views=views)
        self.photos = 0
        self._dim, self._views = dim, views

    def probes(self) -> FloatMatrix:
        """Photos as a whole, as queries."""
        return np.ascontiguousarray(self.drawn.x_nd[:: self._views][:PROBES])

    def draw(self, keys: Keys, x_nw: NDArray[np.float16]) -> None:
        """The first time: draw the sample."""
        self.drawn.add(keys, x_nw)
        self.photos += len(keys)

    def search(
        self, batches: Iterable[tuple[Keys, NDArray[np.float16]]], queries: Sequence[FloatMatrix]
    ) -> list[Best]:
        """The second time: the best photos of the library for each matrix of queries.

        A photo that has several vectors may come several times.
        """
        best = [nothing(len(x_md)) for x_md in queries]
        for keys, x_nw in batches:
            rows = unit(x_nw.reshape(-1, self._dim).astype(np.float32))
            for number, x_md in enumerate(queries):
                probe = ExactProbe(x_md, keys, views=self._views)
                probe.offer(rows)
                best[number] = combine([best[number], probe.best()])
        return best


def calibrate(
    config: PhotoOrgConfig,
    catalog: Catalog,
    space: EmbeddingSpace,
    actor: str,
    encoder: Encoder | None = None,
) -> Fitted:
    """Fit the cutoffs of the configured tenant in a space, and put them in force.

    `encoder` is the space's, if it is open already. Where it cannot be had, only queries by image
    and vector get one.
    """
    fitted = fit_with_encoder(config, catalog, space, encoder)
    with catalog.tenant(config.tenant) as tx:
        apply(tx, fitted, actor)
    return fitted


def refit(
    config: PhotoOrgConfig,
    catalog: Catalog,
    space: EmbeddingSpace,
    actor: str,
    encoder: Encoder | None = None,
) -> bool:
    """Calibrate anew where the library changed much since; whether that was so.

    Cutoffs that people set or took back are left as they are. They belong to what the library
    holds, not to a version: one that was folded from another keeps them.
    """
    with catalog.tenant(config.tenant) as tx:
        known = thresholds.fitted_to(tx, space.id)
        photos = originals.live_count(tx)
    sizes = [known[name] for name in known if name.startswith(CUTOFFS)]
    last = [size for size in sizes if size is not None]
    near = bool(last) and abs(photos - max(last)) < config.index.compact_share * max(last)
    if photos < LEAST_PHOTOS or near or len(last) < len(sizes):
        return False
    return bool(calibrate(config, catalog, space, actor, encoder).cutoffs)


def fit_with_encoder(
    config: PhotoOrgConfig, catalog: Catalog, space: EmbeddingSpace, encoder: Encoder | None = None
) -> Fitted:
    """Fit them with the space's encoder: the one given, or one that can be had."""
    store = ObjectStore(config.storage)
    return fit_search(
        catalog, store, config.tenant, space, lambda: encoder or _encoder(config, space)
    )


def fit_search(
    catalog: Catalog,
    store: ObjectStore,
    tenant: str,
    space: EmbeddingSpace,
    encoder_of: Callable[[], Encoder | None] = lambda: None,
) -> Fitted:
    """Fit cutoffs to the tenant's vectors in a space; writes nothing but a scratch folder.

    With the space's encoder also to pictures of nothing and, where it reads text, to phrases and to
    made-up words. A library of fewer than 40 photos gets none.
    """
    snapshot = VectorSnapshot(store, tenant, space, f"{tenant}/scratch/cutoffs-{new_version()}")
    try:
        with catalog.tenant(tenant) as tx:
            snapshot.take(tx)
        sources = snapshot.sources()
        background = Background(space.dim, len(space.views))
        for keys, x_nw in snapshot.batches(sources):
            background.draw(keys, x_nw)
        if background.photos < LEAST_PHOTOS:
            return Fitted(space, background.photos, {}, {}, {})
        return _fit(background, snapshot, space, encoder_of())
    finally:
        snapshot.discard()


def _fit(
    background: Background,
    snapshot: VectorSnapshot,
    space: EmbeddingSpace,
    encoder: Encoder | None,
) -> Fitted:
    drawn, views = background.drawn, len(space.views)
    probes = background.probes()
    noise = phrases = made_up = np.zeros((0, space.dim), np.float32)
    if encoder is not None:
        noise = encoder.encode_images(list(nonsense.pictures(PICTURES)))
        if space.has_text and isinstance(encoder, TextEncoder):
            phrases = encoder.encode_texts(_phrases())
            made_up = encoder.encode_texts(nonsense.texts(TEXTS))
    queries = [probes, noise, phrases, made_up]
    found = background.search(snapshot.batches(snapshot.sources()), queries)
    own = comparable(drawn.keys[:PROBES])
    others = np.where(found[0].names == own[:, None], -np.inf, found[0].scores)
    neighbours = best_neighbours(others)
    tops = [best.scores[:, 0].astype(np.float64) for best in found[1:]]
    cutoffs: dict[str, Cutoffs] = {}
    real: dict[str, float] = {}
    refused: dict[str, float] = {}
    images = fit_images(drawn.x_nd, neighbours, background.photos, tops[0], views=views)
    if images is not None:
        cutoffs["image"] = images
        real["image"] = float(np.mean(neighbours >= images.best))
        if len(noise):
            refused["image"] = float(np.mean(tops[0] < images.best))
    if images is not None and len(phrases):
        texts = fit_texts(nearness(phrases, drawn.x_nd, views), tops[1], tops[2])
        if texts is not None:
            cutoffs["text"] = texts
            real["text"] = float(np.mean(tops[1] >= texts.best))
            refused["text"] = float(np.mean(tops[2] < texts.best))
    return Fitted(space, background.photos, cutoffs, real, refused)


def _encoder(config: PhotoOrgConfig, space: EmbeddingSpace) -> Encoder | None:
    encoders = SpaceEncoders(config.encoder, config.models_dir, config.migration.spaces)
    try:
        return encoders.of(space)
    except EncoderUnavailableError as error:
        log.warning("search cutoffs are fitted without an encoder: %s", error)
        return None


def _phrases() -> list[str]:
    """What people look for: the phrases that tags are made of."""
    return [
        category.templates[0].format(phrase)
        for category in load_prompts()
        for said in category.tags.values()
        for phrase in said[:1]
    ]


def space_of(tx: Transaction, space_id: str | None) -> EmbeddingSpace:
    """The space of that id, or the tenant's default; NotFoundError."""
    found = spaces.get(tx, space_id) if space_id else spaces.get_default(tx, "image")
    if found is None:
        raise NotFoundError(
            f"There is no space {space_id!r} here." if space_id else "No space is known yet.",
            fix="Run `photoorg ingest` first; `photoorg index list` shows the spaces in use.",
        )
    return found


def apply(tx: Transaction, fitted: Fitted, actor: str) -> Change:
    """Put the cutoffs in force.

    A kind of query that nothing was fitted to keeps what it has.
    """
    photos = originals.live_count(tx)
    return thresholds.change(tx, fitted.space.id, fitted.thresholds(), actor, photos=photos)
