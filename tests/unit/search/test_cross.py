"""The second look at the best hits."""

from __future__ import annotations

import asyncio
import io

import numpy as np
import pytest
from PIL import Image

from photoorg.config import EncoderConfig, ImagingConfig, SearchConfig, StorageConfig
from photoorg.encoders.spaces import open_encoder
from photoorg.errors import EncoderUnavailableError
from photoorg.imaging.decode import Decoder
from photoorg.imaging.thumbs import thumbnail
from photoorg.models import Hit
from photoorg.search.cross import CrossQuery, CrossRanker, SecondSpace
from photoorg.search.service import SearchService
from photoorg.store.layout import thumb_path
from photoorg.store.objects import ObjectStore
from tests.fakes.search import FakeEmbedder, FakePhotos, photo, photo_id, spread_over, unit

NAMES = [f"photo-{i}" for i in range(30)]
T = "default"


class Judge:
    """Likes photos in the order it is given, and remembers what it was asked."""

    def __init__(self, liked=(), error: Exception | None = None) -> None:
        self.liked = [photo_id(n) for n in liked]
        self.error = error
        self.asked: list[tuple[CrossQuery, list[str]]] = []

    async def scores(self, tenant, query, photo_ids):
        self.asked.append((query, list(photo_ids)))
        if self.error is not None:
            raise self.error
        return np.array([5.0 if i in self.liked else 0.0 for i in photo_ids])

    def close(self) -> None:
        pass


def service(judge=None, top=20, weight=0.9) -> SearchService:
    cross = None if judge is None else CrossRanker(judge, top=top, weight=weight)
    photos = FakePhotos([photo(n) for n in NAMES])
    return SearchService(
        FakeEmbedder(), spread_over(2, NAMES), photos, SearchConfig(mmr_lambda=1.0), cross=cross
    )


async def test_there_is_no_second_look_unless_it_is_configured():
    assert SearchConfig().cross.space is None
    hits = (await service().by_text(T, "photo-3", 5)).hits
    assert all("cross" not in h.signals for h in hits)


async def test_the_judge_reorders_the_top_hits_and_nothing_beyond():
    plain = [h.photo_id for h in (await service().by_text(T, "photo-3", 30)).hits]
    liked = next(n for n in NAMES if photo_id(n) == plain[15])
    far = next(n for n in NAMES if photo_id(n) == plain[25])
    judge = Judge([liked, far])
    hits = (await service(judge).by_text(T, "photo-3", 30)).hits
    assert hits[0].photo_id == photo_id(liked) and hits[0].signals["cross"] == 5.0
    assert hits[25].photo_id == photo_id(far) and "cross" not in hits[25].signals
    assert sorted(h.photo_id for h in hits) == sorted(plain)
    assert len(judge.asked[0][1]) == 20 and judge.asked[0][0].text == "photo-3"


async def test_a_hit_beyond_the_page_may_come_onto_it():
    plain = [h.photo_id for h in (await service().by_text(T, "photo-3", 30)).hits]
    liked = next(n for n in NAMES if photo_id(n) == plain[12])
    hits = (await service(Judge([liked])).by_text(T, "photo-3", 3)).hits
    assert hits[0].photo_id == plain[12] and len(hits) == 3


class Sleeper(Judge):
    """Takes its time."""

    async def scores(self, tenant, query, photo_ids):
        await asyncio.sleep(60)


async def test_a_judge_that_takes_too_long_leaves_the_order_as_it_was():
    hits = [Hit(photo_id(n), 1.0 - i / 10, n) for i, n in enumerate(NAMES[:4])]
    ranker = CrossRanker(Sleeper(), top=4, weight=1.0, seconds=0.05)
    assert await ranker.order(T, hits, CrossQuery(text="x")) == tuple(hits)


@pytest.mark.parametrize("error", [EncoderUnavailableError("gone"), RuntimeError("bad tensor")])
async def test_a_judge_that_fails_leaves_the_order_as_it_was(error):
    plain = [h.photo_id for h in (await service().by_text(T, "photo-3", 9)).hits]
    judge = Judge(error=error)
    hits = (await service(judge).by_text(T, "photo-3", 9)).hits
    assert [h.photo_id for h in hits] == plain and judge.asked


async def test_a_query_without_text_or_picture_is_not_judged():
    judge = Judge()
    assert (await service(judge).by_vector(T, [float(v) for v in unit("x")], 5)).hits
    assert judge.asked == []


def _picture(colour, size=(200, 150)):
    ramp = np.linspace(0.3, 1.0, size[0])[None, :, None]
    return (np.broadcast_to(ramp, (size[1], size[0], 3)) * colour).astype(np.uint8)


async def test_a_second_space_compares_the_query_with_thumbnails(tmp_path):
    store = ObjectStore(StorageConfig(root=str(tmp_path)))
    colours = {"red": (250, 30, 30), "green": (30, 250, 30), "blue": (30, 30, 250)}
    for name, colour in colours.items():
        store.write(thumb_path(T, photo_id(name)), thumbnail(_picture(colour)))
    opened = []

    def builtin():
        opened.append(1)
        return open_encoder(EncoderConfig(space="builtin"), str(tmp_path))

    judge = SecondSpace(builtin, store, Decoder(ImagingConfig()), kept=2)
    ids = [photo_id(n) for n in (*colours, "none")]
    data = io.BytesIO()
    Image.fromarray(_picture((240, 40, 40), (300, 200))).save(data, "PNG")
    by_picture = await judge.scores(T, CrossQuery(data=data.getvalue()), ids)
    assert int(np.nanargmax(by_picture)) == 0 and np.isnan(by_picture[3])
    by_photo = await judge.scores(T, CrossQuery(photo_id=photo_id("blue")), ids)
    assert int(np.nanargmax(by_photo)) == 2 and by_photo[2] > 0.999
    assert np.isnan(await judge.scores(T, CrossQuery(text="red"), ids)).all()
    assert opened == [1]
    judge.close()


async def test_equal_opinions_change_nothing():
    hits = [Hit(photo_id(n), 1.0 - i / 10) for i, n in enumerate("abc")]
    ordered = await CrossRanker(Judge(), top=10, weight=1.0).order(T, hits, CrossQuery(text="x"))
    assert [h.photo_id for h in ordered] == [h.photo_id for h in hits]
