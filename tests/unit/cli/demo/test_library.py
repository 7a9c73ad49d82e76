import hashlib
from collections import Counter

import pillow_heif
import pytest
from PIL import Image, ImageOps

from photoorg.cli.demo.library import SUBJECTS, VERSIONS, build


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return build(tmp_path_factory.mktemp("demo") / "photos")


def opened(path):
    if path.suffix == ".heic":
        return pillow_heif.open_heif(path).to_pillow()
    return Image.open(path)


def test_there_are_about_two_hundred_files_of_many_subjects(library):
    assert 190 <= library.files <= 230
    assert set(Counter(library.subject_of.values()).values()) == {len(VERSIONS) + 1}
    assert len(library.subjects) == len(SUBJECTS) == 14
    on_disk = {p for p in library.folder.rglob("*") if p.is_file()}
    assert on_disk == set(library.subject_of) | set(library.broken)


def test_photos_are_distinct_but_for_the_copies(library):
    digests = Counter(hashlib.sha256(p.read_bytes()).hexdigest() for p in library.subject_of)
    assert sum(n - 1 for n in digests.values()) == len(library.copies) == len(SUBJECTS)


def test_every_photo_opens_and_broken_files_do_not(library):
    for path in library.subject_of:
        with opened(path) as image:
            image.load()
    for path in library.broken:
        with (
            pytest.raises((OSError, ValueError, Image.DecompressionBombError, SyntaxError)),
            Image.open(path) as image,
        ):
            image.load()


def test_the_same_seed_gives_the_same_bytes(library, tmp_path):
    again = build(tmp_path / "photos")
    for first, second in zip(library.subject_of, again.subject_of, strict=True):
        if first.suffix != ".heic":  # the HEVC encoder does not promise it
            assert first.read_bytes() == second.read_bytes(), first.name


def test_orientation_flags_bring_the_picture_upright(library):
    with Image.open(library.path("rocket", "original")) as upright:
        expected = upright.convert("L").resize((32, 32))
    with Image.open(library.path("rocket", "phone")) as stored:
        assert stored.getexif()[0x0112] == 6
        turned = ImageOps.exif_transpose(stored).convert("L").resize((32, 32))
    pairs = zip(expected.tobytes(), turned.tobytes(), strict=True)
    assert sum(abs(a - b) for a, b in pairs) / 1024 < 6


@pytest.mark.parametrize("version", ["original", "web", "scan", "export", "warm"])
def test_exif_tells_time_and_place_in_every_format(library, version):
    with opened(library.path("coins", version)) as image:
        exif = image.getexif()
        assert exif.get_ifd(0x8769)[36867].startswith("2020:09:12")
        degrees, minutes, _ = exif.get_ifd(0x8825)[2]
    assert degrees + minutes / 60 == pytest.approx(37.97, abs=0.03)
