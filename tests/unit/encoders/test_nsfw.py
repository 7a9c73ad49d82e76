from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photoorg.config import EncoderConfig
from photoorg.curation_config import EnrichConfig
from photoorg.encoders.nsfw import EXPLICIT, LABELS, NudeNetScorer
from tests.pictures import picture

pytest.importorskip("nudenet")


@pytest.fixture(scope="module")
def scorer() -> NudeNetScorer:
    return NudeNetScorer(EnrichConfig(), EncoderConfig(device="cpu", threads=1))


def test_scores_are_of_the_right_number_and_range(scorer: NudeNetScorer) -> None:
    shapes = [(1, 1), (40, 900), (480, 640), (64, 64)]
    images = [np.asarray(picture(n, w, h)) for n, (h, w) in enumerate(shapes)]
    scores = scorer.score(images)
    assert scores.shape == (4,) and scores.dtype == np.float32
    assert ((scores >= 0) & (scores <= 1)).all()
    assert scorer.score([]).shape == (0,)


def test_a_batch_scores_as_its_pictures_alone(scorer: NudeNetScorer) -> None:
    images = [np.asarray(picture(n, 100 + 20 * n, 90)) for n in range(20)]
    alone = np.concatenate([scorer.score([image]) for image in images])
    assert np.allclose(scorer.score(images), alone, atol=1e-4)


def test_classes_are_those_of_the_package() -> None:
    import nudenet.nudenet

    assert list(LABELS) == nudenet.nudenet.__dict__["__labels"]
    assert set(EXPLICIT) < set(LABELS)


@pytest.mark.data
def test_portraits_are_safe(scorer: NudeNetScorer, shared_data: Path) -> None:
    paths = sorted((shared_data / "faces" / "lfw10").rglob("*.jpg"))[::9]
    with_pixels = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    assert scorer.score(with_pixels).max() < 0.5
