import numpy as np

from photoorg.learn.augment import Augmentation


def picture(height: int = 60, width: int = 90):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_views_are_parts_of_the_photo_of_at_least_the_asked_area():
    rgb = picture()
    recipe = Augmentation(smallest_crop=0.5)
    for seed in range(30):
        view = recipe.view(rgb, np.random.default_rng(seed))
        assert view.dtype == np.uint8 and view.shape[2] == 3
        assert view.shape[0] <= 60 and view.shape[1] <= 90
        assert view.shape[0] * view.shape[1] >= 0.4 * 60 * 90


def test_two_views_differ_and_one_seed_repeats_them():
    rgb = picture()
    first = Augmentation().views(rgb, np.random.default_rng(5))
    again = Augmentation().views(rgb, np.random.default_rng(5))
    assert first[0].shape != first[1].shape or (first[0] != first[1]).any()
    assert all((a == b).all() for a, b in zip(first, again, strict=True))


def test_without_any_strength_only_the_crop_is_left():
    rgb = picture()
    still = Augmentation(smallest_crop=1.0, colour=0, flip=0, grey=0, blur=0, recompress=0)
    view = still.view(rgb, np.random.default_rng(1))
    assert view.shape[0] >= 45 and view.shape[1] >= 70


def test_a_photo_of_one_pixel_has_views():
    view = Augmentation().view(np.zeros((1, 1, 3), np.uint8), np.random.default_rng(0))
    assert view.shape == (1, 1, 3)
