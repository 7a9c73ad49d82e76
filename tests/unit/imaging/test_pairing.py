from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from photoorg.imaging.pairing import Shot, find_pairs
from photoorg.models import Exif, Hashes

NOON = datetime(2022, 7, 1, 12, 0, 0, tzinfo=UTC)
EXIF = Exif(
    captured_at=NOON + timedelta(milliseconds=250),
    captured_source="exif_local",
    subsec="25",
    make="NIKON CORPORATION",
    model="NIKON Z 6",
    exposure_s=0.01,
    f_number=4.0,
    iso=200,
    focal_mm=50.0,
)


def hashes(changed: int = 0, seed: int = 0, quality: int = 100) -> Hashes:
    """A PDQ hash that differs from the one of the same seed in `changed` bits."""
    bits = np.random.default_rng(seed).integers(0, 2, 256, dtype=np.uint8)
    bits[:changed] ^= 1
    return Hashes(np.packbits(bits).tobytes(), quality, bytes(8), bytes(8), bytes(8))


def shot(name: str, kind: str = "still", bits: int = 0, exif: Exif = EXIF, **fields) -> Shot:
    fields.setdefault("hashes", hashes(bits))
    return Shot(name, f"s3://bucket/{name}", kind, exif=exif, **fields)


def later(seconds: float, exif: Exif = EXIF, subsec: str | None = None, **fields) -> Exif:
    at = exif.captured_at + timedelta(seconds=seconds)
    return replace(exif, captured_at=at, subsec=subsec, **fields)


def found(*shots: Shot) -> list[tuple[str, str, str]]:
    return [(p.kind, p.first_id, p.second_id) for p in find_pairs(shots)]


def test_raw_and_jpeg_of_one_exposure_pair_with_evidence():
    (pair,) = find_pairs([shot("DSC_1.NEF", "raw"), shot("DSC_1.JPG", bits=6)])
    assert (pair.kind, pair.first_id, pair.second_id) == ("raw_jpeg", "DSC_1.NEF", "DSC_1.JPG")
    assert pair.confidence > 0.9
    text = "; ".join(pair.evidence)
    assert "fraction of a second" in text and "6 of 256 bits" in text and "nikon z 6" in text


def test_names_alone_pair_nothing():
    bare = Exif()
    assert found(shot("A.NEF", "raw", exif=bare), shot("A.JPG", exif=bare)) == []
    other_time = later(3_600)
    assert found(shot("A.NEF", "raw"), shot("A.JPG", exif=other_time)) == []
    assert found(shot("A.NEF", "raw"), shot("A.JPG", bits=90)) == []
    other_camera = replace(EXIF, make="Canon", model="EOS R5")
    assert found(shot("A.NEF", "raw"), shot("A.JPG", exif=other_camera)) == []
    other_settings = replace(EXIF, exposure_s=0.02)
    assert found(shot("A.NEF", "raw"), shot("A.JPG", exif=other_settings)) == []


def test_times_from_file_names_are_no_agreement():
    named = replace(EXIF, captured_source="filename")
    assert found(shot("A.NEF", "raw", exif=named), shot("A.JPG", exif=named)) == []


def test_renamed_and_one_second_apart_still_pair():
    assert found(shot("x.NEF", "raw"), shot("y.JPG", bits=4)) == [("raw_jpeg", "x.NEF", "y.JPG")]
    split = replace(later(0.75), subsec=None)
    assert found(shot("x.NEF", "raw"), shot("x.JPG", exif=split)) == [
        ("raw_jpeg", "x.NEF", "x.JPG")
    ]


def test_zone_written_by_one_file_only_does_not_split_a_pair():
    zoned = replace(
        EXIF,
        captured_at=EXIF.captured_at - timedelta(hours=2),
        captured_offset_minutes=120,
        captured_source="offset_original",
    )
    assert len(found(shot("A.NEF", "raw"), shot("A.JPG", exif=zoned))) == 1


def test_frames_of_a_fast_burst_pair_with_their_own_raw():
    shots = []
    for n in range(4):
        exif = replace(EXIF, captured_at=NOON + timedelta(milliseconds=100 * n), subsec=f"{n}0")
        shots += [shot(f"{n}.NEF", "raw", n, exif), shot(f"{n}.JPG", "still", n, exif)]
    pairs = [p for p in find_pairs(shots) if p.kind == "raw_jpeg"]
    assert sorted((p.first_id, p.second_id) for p in pairs) == [
        (f"{n}.NEF", f"{n}.JPG") for n in range(4)
    ]


def test_indistinguishable_partners_are_left_alone():
    blind = replace(EXIF, subsec=None, captured_at=NOON)
    shots = [shot("1", "raw", exif=blind), shot("a", exif=blind), shot("b", exif=blind)]
    assert [p for p in found(*shots) if p[0] == "raw_jpeg"] == []
    shots = [shot("1.NEF", "raw", exif=blind), shot("1.JPG", exif=blind), shot("2.JPG", exif=blind)]
    assert ("raw_jpeg", "1.NEF", "1.JPG") in found(*shots)


@pytest.mark.parametrize("worse", [None, hashes(quality=10)])
def test_without_usable_hashes_only_exact_metadata_pairs(worse):
    raw, still = shot("A.NEF", "raw"), replace(shot("A.JPG"), hashes=worse)
    assert len(found(raw, still)) == 1
    vague = replace(EXIF, subsec=None)
    assert found(raw, replace(still, exif=vague)) == []
    assert (
        found(
            raw,
            replace(
                still, exif=replace(EXIF, exposure_s=None, f_number=None, iso=None, focal_mm=None)
            ),
        )
        == []
    )


def test_live_photo_needs_the_same_content_identifier():
    still = shot("IMG_1.HEIC", exif=replace(EXIF, content_id="C-1"))
    video = Shot(
        "IMG_9.MOV", "s3://b/IMG_9.MOV", "video", exif=Exif(content_id="C-1"), duration_s=2.8
    )
    (pair,) = find_pairs([still, video])
    assert (pair.kind, pair.first_id, pair.second_id) == ("live_photo", "IMG_1.HEIC", "IMG_9.MOV")
    assert any("content identifier" in e for e in pair.evidence)
    for other in (Exif(content_id="C-2"), replace(EXIF, content_id=None)):
        video = Shot("IMG_1.MOV", "s3://b/IMG_1.MOV", "video", exif=other, duration_s=2.8)
        assert found(still, video) == []


def test_burst_by_time_camera_and_content():
    frames = [shot(f"{n}", bits=5 * n, exif=later(0.4 * n, subsec=str(4 * n))) for n in range(3)]
    assert found(*reversed(frames)) == [("burst", "0", "1"), ("burst", "1", "2")]
    assert found(frames[0], shot("b", bits=5, exif=later(1.5))) == []
    assert found(frames[0], shot("b", bits=120, exif=later(0.5))) == []
    assert found(frames[0], shot("b", bits=5, exif=later(0.5, model="NIKON Z 9"))) == []
    assert found(frames[0], replace(shot("b", exif=later(0.5)), hashes=None)) == []


def test_burst_identifier_outweighs_gaps_and_content():
    a = shot("a", exif=replace(EXIF, burst_id="B-1"))
    b = shot("b", bits=150, exif=later(1.8, burst_id="B-1"))
    c = shot("c", bits=1, exif=later(2.0, burst_id="B-2"))
    assert found(a, b, c) == [("burst", "a", "b")]


def test_copies_of_one_frame_are_no_burst():
    copy = shot("copy", bits=2)
    assert found(shot("original"), copy) == []
    blind = replace(EXIF, subsec=None)
    assert found(shot("original", exif=blind), shot("copy", bits=2, exif=blind)) == []


def test_jpeg_beside_a_raw_takes_no_part_in_bursts():
    second = later(0.5, subsec="75")
    shots = [shot("1.NEF", "raw"), shot("1.JPG"), shot("2.NEF", "raw", 9, second)]
    shots.append(shot("2.JPG", "still", 9, second))
    assert [p for p in found(*shots) if p[0] == "burst"] == [("burst", "1.NEF", "2.NEF")]


def test_order_of_input_does_not_matter():
    shots = [
        shot("1.NEF", "raw"),
        shot("1.JPG"),
        shot("2.JPG", bits=8, exif=later(0.5, subsec="75")),
    ]
    shots += [shot("3", exif=later(0.9, content_id="C")), shot("4", bits=9, exif=later(1.2))]
    expected = sorted(found(*shots))
    random = np.random.default_rng(3)
    for _ in range(10):
        assert sorted(found(*[shots[i] for i in random.permutation(len(shots))])) == expected
