import os
import pickle
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photoorg.config import ImagingConfig
from photoorg.errors import DecodeError, PhotoOrgError, TooLargeError
from photoorg.imaging.child import Child, ChildCrashedError, ChildStartError, ChildTimeoutError
from photoorg.imaging.guard import GuardedDecoder
from tests.threads import at_once

PROGRAM = """
import os, struct, sys, time
out = os.fdopen(os.dup(1), "wb")
def answer(head, body):
    out.write(struct.pack(">II", len(head), len(body)) + head + body)
    out.flush()
answer(b"", b"")
while prefix := sys.stdin.buffer.read(8):
    head, body = struct.unpack(">II", prefix)
    head, body = sys.stdin.buffer.read(head), sys.stdin.buffer.read(body)
    if b"sleep" in head + body:
        time.sleep(600)
    if b"abort" in head + body:
        os.abort()
    answer(head, body[::-1])
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A child program that answers with the body reversed, hangs or aborts."""
    (tmp_path / "echo_child.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "echo_child"


@pytest.fixture(scope="module")
def guarded():
    with GuardedDecoder(ImagingConfig()) as decoder:
        yield decoder


def test_child_answers_large_bodies(program):
    child = Child(program, "{}", 30.0)
    body = np.random.default_rng(0).bytes(5_000_000)
    assert child.ask(b"hello", body) == (b"hello", body[::-1])
    assert child.usable()
    child.close()
    assert not child.usable()


def test_child_that_hangs_is_killed(program):
    child = Child(program, "{}", 0.3)
    with pytest.raises(ChildTimeoutError):
        child.ask(b"sleep", b"")
    assert not child.usable()


def test_child_that_aborts_is_noticed(program):
    child = Child(program, "{}", 30.0)
    with pytest.raises(ChildCrashedError):
        child.ask(b"abort", b"")
    assert not child.usable()


def test_child_that_cannot_start_is_told_from_a_bad_file():
    with pytest.raises(ChildStartError):
        Child("photoorg.imaging.there_is_no_such_module", "{}", 30.0).ask(b"", b"")


def test_hanging_and_crashing_decoders_become_sentences(program, scene, saved):
    data = saved(scene(32, 32), "TIFF")
    with GuardedDecoder(ImagingConfig(max_seconds=0.5), program=program) as guarded:
        with pytest.raises(DecodeError, match=r"TIFF file took longer than 0.5 s") as caught:
            guarded.decode(data + b"sleep", short_side=32)
        assert not caught.value.retryable
        with pytest.raises(DecodeError, match="TIFF file crashed the decoder") as caught:
            guarded.decode(data + b"abort", short_side=32)
        assert not caught.value.retryable


def test_failing_start_is_worth_a_retry(scene, saved):
    with (
        GuardedDecoder(ImagingConfig(), program="photoorg.imaging.nowhere") as guarded,
        pytest.raises(DecodeError, match="did not start") as caught,
    ):
        guarded.decode(saved(scene(32, 32), "TIFF"), short_side=32)
    assert caught.value.retryable


def children_of(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def test_no_child_is_started_for_ordinary_files(scene, saved):
    before = children_of(os.getpid())
    with GuardedDecoder(ImagingConfig()) as guarded:
        for kind in ("JPEG", "PNG", "WEBP", "BMP"):
            guarded.decode(saved(scene(64, 48), kind), short_side=32)
        assert children_of(os.getpid()) == before


@pytest.mark.parametrize("kind", ["TIFF", "GIF"])
def test_guarded_result_equals_the_plain_one(kind, guarded, decoder, scene, saved):
    data = saved(scene(300, 200), kind)
    inside, outside = (d.decode(data, short_side=100) for d in (decoder, guarded))
    assert np.array_equal(inside.rgb, outside.rgb)
    assert (inside.width, inside.height, inside.decoder, inside.mime, inside.exif) == (
        outside.width,
        outside.height,
        outside.decoder,
        outside.mime,
        outside.exif,
    )
    outside.rgb[0, 0] = 0


def test_errors_cross_the_process_boundary_whole(guarded, scene, saved):
    data = saved(scene(300, 200), "TIFF")
    with pytest.raises(DecodeError) as caught:
        guarded.decode(data[:150], short_side=100)
    assert type(caught.value) is DecodeError and caught.value.message.endswith(".")
    small = ImagingConfig(max_pixels=100)
    with GuardedDecoder(small) as strict, pytest.raises(TooLargeError, match="300 x 200"):
        strict.decode(data, short_side=100)


def test_killed_child_is_replaced(scene, saved):
    data = saved(scene(64, 48), "GIF")
    before = set(children_of(os.getpid()))
    with GuardedDecoder(ImagingConfig()) as guarded:
        guarded.decode(data, short_side=32)
        (child,) = set(children_of(os.getpid())) - before
        os.kill(child, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while child in children_of(os.getpid()) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert guarded.decode(data, short_side=32).width == 64
    assert set(children_of(os.getpid())) <= before


def test_memory_limit_turns_into_a_sentence(saved):
    config = ImagingConfig(guard_memory_mb=512)
    data = saved(Image.new("1", (14_000, 14_000)), "TIFF", compression="group4")
    with GuardedDecoder(config) as guarded:
        with pytest.raises(DecodeError, match="memory"):
            guarded.decode(data, short_side=448)
        assert guarded.decode(saved(Image.new("L", (9, 9)), "GIF"), short_side=9).width == 9


def test_very_large_safe_formats_are_guarded_too(scene, saved):
    before = set(children_of(os.getpid()))
    with GuardedDecoder(ImagingConfig(guard_pixels=1_000)) as guarded:
        guarded.decode(saved(scene(64, 48), "PNG"), short_side=32)
        assert len(set(children_of(os.getpid())) - before) == 1


def test_many_threads_share_two_children(guarded, scene, saved):
    files = [saved(scene(120, 90, seed), "TIFF") for seed in range(6)]
    results: dict[int, int] = {}

    def work(n: int) -> None:
        results[n] = int(guarded.decode(files[n], short_side=90).rgb.sum())

    at_once(*(partial(work, n) for n in range(6)))
    assert results == {n: int(guarded.decode(files[n], short_side=90).rgb.sum()) for n in range(6)}


def test_guarded_decoder_is_picklable(scene, saved):
    with pickle.loads(pickle.dumps(GuardedDecoder(ImagingConfig(), children=1))) as copy:
        assert copy.decode(saved(scene(64, 48), "JPEG"), short_side=32).width == 64


@pytest.mark.data
@pytest.mark.parametrize("folder", ["fuzz/pillow", "exif", "neardup"])
def test_every_hostile_file_decodes_or_says_why(folder, shared_data, guarded):
    files = [p for p in sorted((shared_data / folder).rglob("*")) if p.is_file()]
    decoded = 0
    for path in files:
        try:
            done = guarded.decode(path.read_bytes(), short_side=448)
        except PhotoOrgError as error:
            sentence = error.message
            assert sentence.endswith(".") and len(sentence) < 250 and "\n" not in sentence, path
            assert "0x" not in sentence and "BytesIO" not in sentence and not error.retryable, path
        else:
            decoded += 1
            assert done.rgb.ndim == 3 and done.width >= 1, path
    assert files and decoded >= len(files) // 5
