import numpy as np
import pytest

from photoorg.errors import DecodeError, UnsupportedMediaError
from photoorg.imaging.sniff import is_raw, sniff
from tests.unit.imaging.files import dng, exif_block


@pytest.mark.parametrize(
    ("kind", "mime"),
    [
        ("JPEG", "image/jpeg"),
        ("PNG", "image/png"),
        ("WEBP", "image/webp"),
        ("GIF", "image/gif"),
        ("BMP", "image/bmp"),
        ("TIFF", "image/tiff"),
    ],
)
def test_type_is_found_from_content(kind, mime, scene, saved):
    assert sniff(saved(scene(32, 32), kind)) == mime


def test_heif_is_found_by_its_brand(scene, tmp_path):
    import pillow_heif

    path = tmp_path / "photo.jpg"
    pillow_heif.from_pillow(scene(64, 64)).save(path, format="HEIF")
    assert sniff(path.read_bytes()) == "image/heic"


def test_raw_is_told_from_tiff_by_its_directories():
    mime = sniff(dng(np.zeros((8, 8, 3), np.uint8)))
    assert mime == "image/x-adobe-dng" and is_raw(mime)
    sensor = {0x0106: (3, 32803), 0x010F: (2, "NIKON CORPORATION")}
    assert sniff(exif_block(sensor)) == "image/x-nikon-nef"
    assert sniff(exif_block({0x0106: (3, 2), 0x010F: (2, "NIKON CORPORATION")})) == "image/tiff"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x0eB\0\0\x12\xaf\x01\0" + bytes(40), "an FLI animation"),
        (b"%PDF-1.7 ....", "a PDF document"),
        (b"\0\0\0\x20ftypqt  " + bytes(40), "a video"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "an AVIF image"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "an AVIF image"),
        (b"<?xml version='1.0'?>\n<svg xmlns=''>", "an SVG drawing"),
        (b"P6\n2 2\n255\n123456789012", "a Netpbm image"),
        (b"PK\x03\x04" + bytes(30), "a ZIP archive"),
        ("Grüße, no picture".encode(), "a text file"),
        (bytes(range(128, 200)), "data of an unknown kind"),
    ],
)
def test_other_types_are_refused_by_name(data, words):
    with pytest.raises(UnsupportedMediaError) as caught:
        sniff(data)
    assert caught.value.message.startswith(f"This is {words}")
    assert "Convert" in caught.value.fix and not caught.value.retryable


def test_empty_file_says_so():
    with pytest.raises(DecodeError, match="empty"):
        sniff(b"")


def test_extension_is_never_believed(scene, tmp_path):
    path = tmp_path / "photo.jpg"
    scene(40, 30).save(path, "PNG")
    assert sniff(path.read_bytes()) == "image/png"
