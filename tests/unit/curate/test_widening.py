"""Candidates beyond hashes and upright embeddings: turned pictures, partners of partners."""

import hashlib

import numpy as np
import pytest

from photoorg.curate.duplicates import by_rank, find, group
from photoorg.curate.scoring import score_pairs, surest
from photoorg.curate.turns import TURNS, compose, inverse, turned_pixels
from photoorg.curate.widening import second_hop, turned_neighbours
from photoorg.curation_config import DedupConfig
from tests.pictures import picture
from tests.unit.curate.library import facts

CONFIG = DedupConfig(floor=0.0)


def photo_id(row: int) -> str:
    return row.to_bytes(32).hex()


class Small:
    """Pictures by row."""

    def __init__(self, *images: np.ndarray) -> None:
        self._images = {photo_id(n): image for n, image in enumerate(images)}

    def rgb(self, name: str) -> np.ndarray | None:
        return self._images.get(name)

    def gray(self, name: str) -> np.ndarray | None:
        image = self._images.get(name)
        return None if image is None else image.mean(axis=2).astype(np.uint8)


class Exact:
    """Vectors that are equal for equal pixels and strangers' else; searched one by one."""

    def __init__(self, pictures: Small, count: int) -> None:
        images = [pictures.rgb(photo_id(n)) for n in range(count)]
        self.x = self.encode_images([i for i in images if i is not None])

    def encode_images(self, images: list[np.ndarray]) -> np.ndarray:
        vectors = []
        for image in images:
            seed = int.from_bytes(hashlib.sha256(image.tobytes()).digest()[:8])
            vector = np.random.default_rng(seed).standard_normal(64)
            vectors.append(vector / np.linalg.norm(vector))
        return np.asarray(vectors, np.float32)

    def pairs(self, k, least):
        none = np.zeros(0, np.int32)
        return none, none

    def cosines(self, first, second):
        return np.einsum("nd,nd->n", self.x[first], self.x[second]).astype(float)

    def nearest(self, x_nd, k):
        scores = x_nd @ self.x.T
        rows = np.argsort(-scores, axis=1)[:, :k]
        return rows.astype(np.int32), np.take_along_axis(scores, rows, 1).astype(float)


@pytest.mark.parametrize("one", range(len(TURNS)))
@pytest.mark.parametrize("other", range(len(TURNS)))
def test_turns_compose_as_pictures_do(one, other):
    image = np.arange(12).reshape(3, 4)
    both = turned_pixels(turned_pixels(image, TURNS[other]), TURNS[one])
    assert (turned_pixels(image, TURNS[compose(one, other)]) == both).all()
    assert compose(inverse(one), one) == 0


@pytest.mark.parametrize("turn", TURNS[1:])
def test_a_turned_copy_whose_hashes_tell_nothing_is_found_by_its_vector(turn):
    image = np.asarray(picture(3, 240, 180))
    other = np.ascontiguousarray(turned_pixels(image, turn))
    size = {"width": other.shape[1] * 10, "height": other.shape[0] * 10}
    photos = by_rank(facts({"width": 2400, "height": 1800}, size, {}), CONFIG)
    pictures = Small(image, other, np.asarray(picture(4, 240, 180)))
    visual = Exact(pictures, 3)
    order = [int.from_bytes(key.tobytes()) for key in photos.keys]
    visual.x = visual.x[order]
    without = find(photos, CONFIG, visual=visual, pictures=pictures)
    assert group(without, 0.8) == []
    found = find(photos, CONFIG, visual=visual, pictures=pictures, encoder=visual)
    (star,) = group(found, 0.8)
    assert sorted(order[row] for row in (star.keeper, *star.members)) == [0, 1]


def test_so_many_photos_are_turned_and_no_more():
    images = [np.asarray(picture(seed, 60, 40)) for seed in range(6)]
    pictures = Small(*images)
    visual = Exact(pictures, 6)
    asked = []
    visual.encode_images = lambda views: asked.append(len(views)) or np.zeros((len(views), 64))
    photos = facts(*({} for _ in images))
    none = np.zeros(0, np.int32)
    nothing = score_pairs(photos, none, none, CONFIG, None)
    few = CONFIG.model_copy(update={"turned_views": 4})
    wider = turned_neighbours(
        photos, nothing, few, visual, pictures, visual, told=np.zeros(0, np.int32)
    )
    assert sum(asked) == 4 * 7
    assert len(wider.first) == 0


def hops(pairs, *, most=100):
    same = {"pdq": bytes(range(32)), "phash": b"\x0f" * 8}
    photos = facts(*({**same} for _ in range(6)))
    first, second = (np.asarray(c, np.int32) for c in zip(*pairs, strict=True))
    return second_hop(score_pairs(photos, first, second, CONFIG, None), CONFIG, most)


def test_two_that_are_like_a_third_are_compared_and_known_pairs_are_not():
    wider = hops([(0, 1), (0, 2), (1, 2), (2, 3)])
    assert sorted(zip(wider.first.tolist(), wider.second.tolist(), strict=True)) == [(0, 3), (1, 3)]
    assert wider.turn.tolist() == [0, 0]
    assert len(hops([(0, 1), (0, 2), (0, 3)], most=2).first) == 2


def test_ten_thousand_partners_of_one_photo_do_not_meet_each_other():
    same = {"pdq": bytes(range(32)), "phash": b"\x0f" * 8}
    photos = facts(*({**same} for _ in range(10_000)))
    rest = np.arange(1, 10_000, dtype=np.int32)
    found = score_pairs(photos, np.zeros_like(rest), rest, CONFIG, None)
    assert len(second_hop(found, CONFIG, most=1_000_000).first) == 66


def test_of_two_accounts_of_a_pair_the_surer_one_counts():
    photos = facts({"pdq": bytes(range(32))}, {"pdq": bytes(range(32))}, {})
    zero, one = np.asarray([0], np.int32), np.asarray([1], np.int32)
    poor = score_pairs(photos, zero, one, CONFIG, None, turn=np.asarray([3], np.int8))
    good = score_pairs(photos, zero, one, CONFIG, None)
    assert poor.confidence[0] < good.confidence[0]
    both = surest(poor, good)
    assert both.confidence.tolist() == good.confidence.tolist()


def test_black_pictures_are_no_duplicates_of_each_other():
    black = [np.zeros((40, 60, 3), np.uint8)] * 6
    pictures = Small(*black)
    visual = Exact(pictures, 6)
    photos = facts(*({"pdq": bytes(32), "phash": bytes(8), "pdq_quality": 0} for _ in black))
    found = find(photos, CONFIG, visual=visual, pictures=pictures, encoder=visual)
    assert len(found) > 0
    assert group(found, CONFIG.confidence) == []
