import pickle
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from photoorg.config import ImagingConfig
from photoorg.errors import DecodeError, PhotoOrgError, TooLargeError
from photoorg.imaging import jpeg
from photoorg.imaging.decode import Decoder
from tests.unit.imaging.files import dng, exif_block


def close(a: np.ndarray, b: np.ndarray, mean: float = 4.0) -> bool:
    return a.shape == b.shape and float(np.abs(a.astype(int) - b.astype(int)).mean()) <= mean


def oriented(image: Image.Image, turn: int) -> Image.Image:
    """Store `image` so that showing it with EXIF orientation `turn` gives it back."""
    inverse = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[turn]
    return image.transpose(inverse) if inverse is not None else image


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied_exactly_once(kind, turn, corners, decoder, saved):
    options = {"quality": 95} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    exif = Image.Exif()
    exif[0x0112] = turn
    data = saved(oriented(corners, turn), kind, exif=exif.tobytes(), **options)
    done = decoder.decode(data, short_side=64)
    assert (done.width, done.height) == (96, 64)
    assert close(done.rgb, np.asarray(corners))


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
@pytest.mark.parametrize("with_preview", [False, True])
def test_raw_is_turned_as_the_camera_says(turn, with_preview, corners, decoder, saved):
    large = corners.resize((480, 320), Image.Resampling.NEAREST)
    stored = oriented(large, turn)
    preview = saved(stored, "JPEG", quality=95) if with_preview else b""
    done = decoder.decode(
        dng(np.asarray(stored), orientation=turn, preview=preview), short_side=320
    )
    assert (done.width, done.height) == (480, 320)
    assert done.decoder.startswith("photoorg-1/rawpy-")
    assert done.decoder.endswith("-preview") == with_preview
    quarters = [done.rgb[y, x] for y in (80, 240) for x in (120, 360)]
    strongest = [tuple(bool(c > 100) for c in q) for q in quarters]
    red, green, blue, yellow = (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0)
    assert strongest == [red, green, blue, yellow]


def test_small_raw_preview_is_not_used(scene, decoder, saved):
    image = scene(480, 320)
    data = dng(np.asarray(image), preview=saved(image.resize((120, 80)), "JPEG"))
    done = decoder.decode(data, short_side=300)
    assert "-preview" not in done.decoder and min(done.rgb.shape[:2]) >= 300


def test_heic_is_not_turned_twice(corners, decoder, tmp_path):
    import pillow_heif

    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "photo.heic"
    stored = oriented(corners, 6)
    pillow_heif.from_pillow(stored).save(path, format="HEIF", quality=95, exif=exif.tobytes())
    shown = ImageOps.exif_transpose(pillow_heif.open_heif(path).to_pillow())
    done = decoder.decode(path.read_bytes(), short_side=64)
    assert (done.width, done.height) == shown.size
    assert close(done.rgb, np.asarray(shown.convert("RGB")))


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {}), ("TIFF", {})],
)
@pytest.mark.parametrize("size", [(1600, 1200), (1200, 1600), (2000, 300), (333, 777)])
def test_result_is_near_what_was_asked_and_never_enlarged(
    kind, options, size, scene, decoder, saved
):
    data = saved(scene(*size), kind, **options)
    for short, long in ((100, 0), (224, 0), (448, 0), (100, 700), (5_000, 0)):
        done = decoder.decode(data, short_side=short, long_side=long)
        assert (done.width, done.height) == size
        height, width = done.rgb.shape[:2]
        assert min(width, height) >= min(short, *size)
        assert max(width, height) >= min(long, max(size))
        assert width <= size[0] and height <= size[1]
        scale = max(short / min(size), long / max(size))
        assert max(width, height) <= max(1.0, 2 * max(size) * min(1.0, scale) + 2)
        assert done.rgb.dtype == np.uint8 and done.rgb.flags["C_CONTIGUOUS"]


def test_scaled_jpeg_looks_like_the_whole_one(scene, decoder, saved):
    image = scene(2000, 1500)
    data = saved(image, "JPEG", quality=92)
    done = decoder.decode(data, short_side=448)
    assert done.rgb.shape == (563, 750, 3)
    whole = image.resize((750, 563), Image.Resampling.BOX)
    assert close(done.rgb, np.asarray(whole), 3.0)
    assert done.decoder.startswith("photoorg-1/simplejpeg-")


def gradient(mode: str) -> Image.Image:
    ramp = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (64, 1)))
    return ramp.convert(mode)


def test_gray_and_palette_and_1_bit_become_rgb(decoder, saved):
    for mode, kind in (("L", "PNG"), ("L", "JPEG"), ("P", "GIF"), ("L", "TIFF"), ("1", "PNG")):
        done = decoder.decode(saved(gradient(mode), kind), short_side=64)
        assert close(done.rgb, np.asarray(gradient(mode).convert("RGB")), 1.5), (mode, kind)


def test_16_bit_gray_keeps_its_range(decoder, saved):
    values = (np.tile(np.arange(256, dtype=np.uint16), (64, 1)) << 8) + 128
    for kind in ("PNG", "TIFF"):
        done = decoder.decode(saved(Image.fromarray(values), kind), short_side=64)
        assert close(done.rgb, np.asarray(gradient("RGB")), 1.0), kind


def test_float_tiff_is_scaled_from_0_to_1(decoder, saved):
    values = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (64, 1))
    done = decoder.decode(saved(Image.fromarray(values), "TIFF"), short_side=64)
    assert close(done.rgb, np.asarray(gradient("RGB")), 1.0)


def png16(rgb: np.ndarray) -> bytes:
    """A 16-bit RGB PNG, which Pillow does not write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    rows = b"".join(b"\0" + row.tobytes() for row in rgb.astype(">u2"))
    header = struct.pack(">IIBBBBB", rgb.shape[1], rgb.shape[0], 16, 2, 0, 0, 0)
    chunks = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_16_bit_colour_becomes_8_bit(scene, decoder):
    image = np.asarray(scene(60, 40))
    done = decoder.decode(png16(image.astype(np.uint16) * 257), short_side=40)
    assert close(done.rgb, image, 0.6)


def test_alpha_is_laid_on_white(decoder, saved):
    image = Image.new("RGBA", (40, 40), (255, 0, 0, 255))
    image.paste((0, 0, 255, 0), (0, 0, 20, 40))
    image.paste((0, 0, 0, 128), (20, 0, 40, 20))
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        rgb = decoder.decode(saved(image, kind, **options), short_side=40).rgb
        assert rgb[30, 5].tolist() == [255, 255, 255], kind
        assert rgb[30, 35].tolist() == [255, 0, 0], kind
        assert abs(int(rgb[5, 35, 0]) - 127) <= 1, kind


def test_palette_and_gray_transparency_are_laid_on_white(decoder, saved):
    palette = Image.new("P", (20, 20), 1)
    palette.putpalette([10, 20, 30, 200, 0, 0])
    palette.paste(0, (0, 0, 10, 20))
    for kind in ("PNG", "GIF"):
        rgb = decoder.decode(saved(palette, kind, transparency=0), short_side=20).rgb
        assert rgb[5, 2].tolist() == [255, 255, 255] and rgb[5, 15].tolist() == [200, 0, 0], kind
    gray = Image.new("LA", (20, 20), (0, 0))
    assert decoder.decode(saved(gray, "PNG"), short_side=20).rgb.min() == 255


def test_cmyk_and_inverted_adobe_cmyk_look_alike(scene, decoder, saved):
    image = scene(320, 240).convert("CMYK")
    expected = np.asarray(image.convert("RGB"))
    adobe = saved(image, "JPEG", quality=95)
    assert b"Adobe" in adobe
    assert close(decoder.decode(adobe, short_side=240).rgb, expected, 5.0)
    assert close(decoder.decode(saved(image, "TIFF"), short_side=240).rgb, expected, 1.0)
    done = decoder.decode(saved(scene(1280, 960).convert("CMYK"), "JPEG"), short_side=240)
    assert (done.width, done.height, done.rgb.shape) == (1280, 960, (240, 320, 3))


def swapped_profile() -> bytes:
    """sRGB with the red and green primaries exchanged: a wrong conversion cannot be missed."""
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return plain.replace(b"rXYZ", b"tmpX").replace(b"gXYZ", b"rXYZ").replace(b"tmpX", b"gXYZ")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_colours_follow_the_embedded_profile(kind, decoder, saved):
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    red = Image.new("RGB", (64, 64), (230, 10, 10))
    data = saved(red, kind, icc_profile=swapped_profile(), **options)
    r, g, _ = (int(v) for v in decoder.decode(data, short_side=64).rgb[30, 30])
    assert g > 180 and r < 80


def test_srgb_and_broken_profiles_change_nothing(scene, decoder, saved):
    image = scene(64, 48)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = decoder.decode(saved(image, "PNG"), short_side=48).rgb
    for profile in (srgb, b"no profile at all", srgb[:200]):
        done = decoder.decode(saved(image, "PNG", icc_profile=profile), short_side=48)
        assert np.array_equal(done.rgb, plain)


def test_first_frame_of_animations_and_pages_is_taken(decoder, saved):
    frames = [Image.new("RGB", (40, 30), c) for c in ("red", "lime", "blue")]
    for kind, options in (("GIF", {}), ("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        done = decoder.decode(data, short_side=30)
        assert done.frames == 3 and done.rgb[10, 10].tolist() == [255, 0, 0], kind
        with pytest.raises(TooLargeError, match="3 frames"):
            Decoder(ImagingConfig(max_frames=2)).decode(data, short_side=30)


def test_first_picture_of_an_mpo_is_taken(scene, decoder, saved):
    image = scene(320, 240)
    data = saved(image, "MPO", save_all=True, append_images=[scene(320, 240, 1)])
    done = decoder.decode(data, short_side=240)
    assert (done.mime, done.frames) == ("image/jpeg", 2)
    assert close(done.rgb, np.asarray(image), 8.0)


def test_limits_on_bytes_and_pixels(scene, saved):
    data = saved(scene(100, 80), "PNG")
    with pytest.raises(TooLargeError, match="bytes"):
        Decoder(ImagingConfig(max_bytes=len(data) - 1)).decode(data, short_side=10)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"):
        with pytest.raises(TooLargeError, match="100 x 80 pixels"):
            Decoder(ImagingConfig(max_pixels=7_999)).decode(
                saved(scene(100, 80), kind), short_side=10
            )


def test_png_bomb_is_refused_before_its_pixels_are_allocated(saved, decoder):
    data = bytearray(saved(Image.new("1", (16, 16)), "PNG"))
    data[16:24] = struct.pack(">II", 14_000, 14_000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    with pytest.raises(DecodeError, match="truncated"):
        decoder.decode(bytes(data), short_side=10)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg_cut_off_in_the_middle_is_truncated(options, scene, decoder, saved):
    data = saved(scene(), "JPEG", **options)
    for share, ends in ((0.3, 2), (0.6, 2), (0.9, 2), (0.99, 1)):
        for end in (b"", b"\xff\xd9")[:ends]:
            with pytest.raises(DecodeError, match="truncated"):
                decoder.decode(data[: int(len(data) * share)] + end, short_side=100)


def test_jpeg_with_whole_data_but_a_bad_end_is_accepted(scene, decoder, saved):
    data = saved(scene(), "JPEG")
    whole = decoder.decode(data, short_side=448).rgb
    for variant in (data[:-2], data[:-1], data + bytes(1_000), data + b"\xff\xd8\xff" * 50):
        assert np.array_equal(decoder.decode(variant, short_side=448).rgb, whole)


def test_jpeg_with_garbage_between_markers_is_read_by_its_markers(scene, decoder, saved):
    data = saved(scene(), "JPEG")
    broken = data[:20] + b"\x00\x11garbage" + data[20:]
    whole, mended = (decoder.decode(d, short_side=448).rgb for d in (data, broken))
    assert np.array_equal(whole, mended)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_other_formats_cut_in_half_are_truncated(kind, scene, decoder, saved):
    data = saved(scene(), kind)
    with pytest.raises(DecodeError) as caught:
        decoder.decode(data[: len(data) // 2], short_side=100)
    assert "truncated" in str(caught.value) or kind in ("WEBP", "TIFF")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_bit_flips_decode_or_give_one_sentence(kind, scene, decoder, saved):
    data = saved(scene(80, 60), kind)
    random = np.random.default_rng(7)
    for _ in range(150):
        broken = bytearray(data)
        for place in random.integers(0, min(len(data), 600), 3):
            broken[place] ^= 1 << int(random.integers(8))
        try:
            done = decoder.decode(bytes(broken), short_side=40)
        except PhotoOrgError as error:
            assert error.message.endswith(".") and "\n" not in error.message
            assert "0x" not in error.message and not error.retryable
        else:
            assert done.rgb.ndim == 3 and min(done.rgb.shape) >= 1


def test_exif_block_is_given_without_prefix(scene, decoder, saved):
    block = exif_block({0x010F: (2, "Maker")})
    for kind, prefix in (("JPEG", b"Exif\0\0"), ("PNG", b""), ("WEBP", b"")):
        done = decoder.decode(saved(scene(32, 32), kind, exif=prefix + block), short_side=32)
        assert done.exif == block, kind


def test_one_pixel_and_extreme_shapes(decoder, saved):
    for size in ((1, 1), (1, 5_000), (5_000, 1)):
        for kind in ("JPEG", "PNG"):
            done = decoder.decode(saved(Image.new("RGB", size, "red"), kind), short_side=448)
            assert (done.width, done.height) == size == done.rgb.shape[1::-1]


def test_decoder_is_picklable(scene, decoder, saved):
    copy = pickle.loads(pickle.dumps(decoder))
    data = saved(scene(64, 48), "JPEG")
    assert np.array_equal(
        copy.decode(data, short_side=20).rgb, decoder.decode(data, short_side=20).rgb
    )


def test_progressive_scans_are_counted(scene, saved):
    data = saved(scene(64, 48), "JPEG", progressive=True)
    assert jpeg.scans(data, jpeg.read_header(data)) > 5
    plain = saved(scene(64, 48), "JPEG")
    assert jpeg.scans(plain, jpeg.read_header(plain)) == 1


def test_a_jpeg_of_very_many_parts_is_refused_before_they_are_all_kept(decoder, scene, saved):
    data = saved(scene(64, 48), "JPEG")
    part = b"\xff\xe5\x00\x02"
    few = decoder.decode(data[:2] + 5_000 * part + data[2:], short_side=32)
    assert (few.width, few.height) == (64, 48)
    with pytest.raises(DecodeError, match="parts before its picture"):
        decoder.decode(data[:2] + 100_000 * part + data[2:], short_side=32)
