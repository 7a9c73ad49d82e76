"""Stages on their own: a bad row costs only itself, whatever stage it breaks."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from photoorg import schema
from photoorg.config import ImagingConfig, PhotoOrgConfig, SourceConfig, StorageConfig, parse
from photoorg.errors import DecodeError, NotFoundError, SpaceMismatchError, StorageError
from photoorg.imaging.guard import GuardedDecoder
from photoorg.space import EmbeddingSpace
from photoorg.stages import rows
from photoorg.stages.decode import Decode, Fetch, KeepOriginal, ReadExif
from photoorg.stages.embed import Embed
from photoorg.stages.ingest import BATCH_BYTES, FusedIngest, Models, micro_batches, wanted
from photoorg.stages.measure import Hash, MakeThumbnail, MeasureQuality
from photoorg.stages.online import ConsentedIngest, OnlineIngest
from photoorg.stages.parts import Made, finish
from photoorg.store.layout import blob_path, thumb_path
from photoorg.store.objects import ObjectStore
from tests.pictures import jpeg

SPACE = EmbeddingSpace("toy", "toy", "none", "1", "none", 4)


class MeanColour:
    """A fake encoder: the mean colour; refuses pictures whose first pixel is pure red."""

    space = SPACE
    short_side = 64

    def encode_images(self, images):
        if any(tuple(image[0, 0]) == (255, 0, 0) for image in images):
            raise ValueError("a red corner")
        x_nd = np.array([[*image.mean((0, 1)), 1.0] for image in images], np.float32)
        return x_nd / np.linalg.norm(x_nd, axis=1, keepdims=True)


class FixedDecoder:
    """A fake decoder: the bytes say what the picture is."""

    def decode(self, data, *, short_side, long_side=0):
        from photoorg.models import Decoded

        if data == b"bad":
            raise DecodeError("This is no picture.")
        if data == b"bug":
            raise ZeroDivisionError("a fault of ours")
        rgb = np.full((64, 80, 3), int(data), np.uint8)
        if data == b"99":
            rgb[0, 0] = (255, 0, 0)
        return Decoded(rgb, 80, 64, "image/png", "fake/1")


def keys(*uris: str) -> pa.Table:
    when = datetime(2024, 1, 1, tzinfo=UTC)
    columns = [list(uris), [1] * len(uris), ["e"] * len(uris), [when] * len(uris), [0] * len(uris)]
    return pa.table(columns, schema=schema.KEYS)


def with_data(*data: bytes) -> pa.Table:
    table = rows.start(keys(*(f"file:///{n}" for n in range(len(data)))))
    return rows.set_column(table, "data", list(data), pa.large_binary())


def decoded(*data: bytes) -> pa.Table:
    return Decode(FixedDecoder(), short_side=64)(with_data(*data))


def reasons(table: pa.Table) -> list[tuple[str, str] | None]:
    return [r and (r["stage"], r["code"]) for r in table["reject"].to_pylist()]


def test_a_file_that_is_gone_is_a_reject_and_the_others_are_read(tmp_path):
    (tmp_path / "here").write_bytes(b"here")
    (tmp_path / "large").write_bytes(b"x" * 100)
    uris = [f"file://{tmp_path}/{name}" for name in ("here", "gone", "large")]
    table = Fetch(SourceConfig(), max_bytes=50, threads=2)(keys(*uris))
    assert table["data"].to_pylist() == [b"here", None, None]
    assert reasons(table) == [None, ("fetch", "not-found"), ("fetch", "too-large")]


def test_decoding_rejects_only_the_rows_that_cannot_be_decoded():
    table = decoded(b"10", b"bad", b"", b"bug", b"20")
    assert reasons(table) == [
        None,
        ("decode", "decode-failed"),
        ("decode", "decode-failed"),
        ("decode", "internal"),
        None,
    ]
    pixels = rows.images(table)
    assert sorted(pixels) == [0, 4] and pixels[4].shape == (64, 80, 3) and pixels[4][0, 0, 0] == 20
    assert "data" not in table.column_names
    assert "ZeroDivisionError" in table["reject"].to_pylist()[3]["reason"]


def test_one_photo_that_the_model_refuses_does_not_cost_its_batch():
    table = Embed(MeanColour())(decoded(b"10", b"99", b"bad", b"20"))
    assert [v is not None for v in table["vector"].to_pylist()] == [True, False, False, True]
    part = finish(table, Made(("embed",), SPACE))
    assert part.photos["status"].to_pylist() == ["ready", "partial", "ready"]
    assert [f["stage"] for f in part.photos["failures"].to_pylist()[1]] == ["embed"]
    assert len(part.vectors) == 2 and len(part.rejects) == 1 and len(part) == 4
    schema.require_space(part.vectors.schema, SPACE, "the part")


def test_measures_fill_their_columns_and_pass_rejects_by(tmp_path):
    store = ObjectStore(StorageConfig(root=str(tmp_path)))
    table = decoded(b"10", b"bad")
    for stage in (
        ReadExif(),
        Hash(),
        MeasureQuality(),
        MakeThumbnail(store, "t", px=40, quality=80, threads=1),
    ):
        table = stage(table)
    good, bad = table.to_pylist()
    assert good["captured_source"] == "file" and len(good["pdq"]) == 32
    assert 0 <= good["quality"] <= 1 and good["has_thumbnail"] and not bad["has_thumbnail"]
    assert store.exists(thumb_path("t", good["photo_id"]))
    assert bad["pdq"] is None and bad["quality"] is None


def test_originals_are_kept_under_their_content(tmp_path):
    store = ObjectStore(StorageConfig(root=str(tmp_path)))
    table = Decode(FixedDecoder(), short_side=64, keep_data=True)(with_data(b"10", b"10", b"bad"))
    table = KeepOriginal(store, "t", threads=2)(table)
    photo_id = table["photo_id"].to_pylist()[0]
    assert store.read(blob_path("t", photo_id)) == b"10"
    assert len(list(store.list("t/blobs"))) == 1 and "data" not in table.column_names


def configured(tmp_path, **ingest: object) -> PhotoOrgConfig:
    return parse({"storage": {"root": str(tmp_path / "store")}, "ingest": ingest})


@pytest.mark.parametrize("micro_batch", [1, 3, 100])
def test_micro_batches_change_nothing_in_the_result(tmp_path, micro_batch):
    uris = []
    for number in range(7):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(jpeg(number) if number != 4 else b"broken")
        uris.append(f"file://{path}")
    config = configured(tmp_path, micro_batch=micro_batch)
    store = ObjectStore(config.storage)
    part = FusedIngest(config, store, Models(encoder=MeanColour()))(keys(*uris))
    assert part.photos["uri"].to_pylist() == [u for u in uris if not u.endswith("4.jpg")]
    assert part.rejects["key"].to_pylist() == [uris[4]]
    assert part.vectors["photo_id"] == part.photos["photo_id"]
    assert set(part.photos["status"].to_pylist()) == {"ready"}


def test_an_upload_goes_through_the_same_stages(tmp_path):
    config = configured(tmp_path)
    store = ObjectStore(config.storage)
    online = OnlineIngest(config, store, Models(encoder=MeanColour()))
    good = online.process(jpeg(3), uri="blob/3", filename="IMG_20230405_101112.jpg")
    assert good.rejection is None and good.vector is not None and good.vector.shape == (4,)
    (row,) = good.photos.to_pylist()
    assert row["uri"] == "blob/3" and row["captured_source"] == "filename"
    path = tmp_path / "same.jpg"
    path.write_bytes(jpeg(3))
    bulk = FusedIngest(config, store, Models(encoder=MeanColour()))(keys(f"file://{path}"))
    assert bulk.photos["pdq"].to_pylist() == [row["pdq"]]
    bad = online.process(b"no photo at all", uri="blob/x", filename="x.jpg")
    assert bad.photos is None and bad.rejection is not None and not bad.rejection.retryable


def test_faces_run_only_where_the_tenant_opted_in():
    asked = {"ingest": {"stages": ["embed", "faces"]}}
    assert wanted(parse(asked)) == ("embed",)
    assert wanted(parse({**asked, "faces": {"enabled": True}})) == ("embed", "faces")
    assert wanted(parse({"faces": {"enabled": True}}))[-1] == "faces"


def test_the_guarded_decoder_is_what_the_line_uses_and_missing_files_are_said(tmp_path):
    with GuardedDecoder(ImagingConfig()) as decoder:
        table = Decode(decoder, short_side=64)(with_data(jpeg(1), b"GIF89a"))
    assert reasons(table)[0] is None and reasons(table)[1] is not None
    with pytest.raises(NotFoundError):
        from photoorg.store.sources import read_source

        read_source(f"file://{tmp_path}/none", SourceConfig(), max_bytes=10)


def test_uploads_are_read_for_faces_only_while_somebody_agrees(tmp_path):
    config = parse({"faces": {"enabled": True}, "ingest": {"stages": ["hash"]}})
    store = ObjectStore(StorageConfig(root=str(tmp_path)))
    looked: list[int] = []

    class Faces:
        space = EmbeddingSpace("faces", "toy", "none", "1", "none", 4, kind="face")
        long_side = 640

        def detect(self, image):
            looked.append(1)
            return []

    agreed = False
    line = ConsentedIngest(config, store, Models(faces=Faces()), lambda: agreed)
    data = jpeg(1)
    plain = line.process(data, uri="a", filename="a.jpg")
    assert plain.photos["faces"].null_count == 1 and not looked
    agreed = True
    read = line.process(data, uri="a", filename="a.jpg")
    assert read.photos["faces"].null_count == 0 and looked
    assert read.photos.schema.metadata[b"photoorg.faces_user"] == b"owner"


class PartsOfColour(MeanColour):
    """A fake encoder whose space has a second view."""

    space = replace(SPACE, views=("full", "centre"))


def test_every_view_of_a_photo_gets_a_vector_and_they_lie_side_by_side():
    encoder = PartsOfColour()
    table = Embed(encoder)(decoded(b"10", b"bad", b"99", b"20"))
    assert [v is not None for v in table["vector"].to_pylist()] == [True, False, False, True]
    part = finish(table, Made(("embed",), encoder.space))
    assert part.vectors.schema.field("vector").type.list_size == encoder.space.width == 8
    schema.require_space(part.vectors.schema, encoder.space, "the part")
    assert schema.views_of(part.vectors.schema) == 2
    with pytest.raises(SpaceMismatchError):
        schema.require_space(part.vectors.schema, SPACE, "the part")
    first = np.array(part.vectors["vector"].to_pylist()[0], np.float32)
    np.testing.assert_allclose(first[:4], first[4:], atol=1e-3)


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([1] * 7, [3, 3, 1]),
        ([BATCH_BYTES // 2] * 5, [2, 2, 1]),
        ([1, 2 * BATCH_BYTES, 1, 1], [1, 1, 2]),
        ([2 * BATCH_BYTES] * 3, [1, 1, 1]),
        ([1], [1]),
    ],
)
def test_micro_batches_are_bounded_in_rows_and_in_bytes(sizes, batches):
    table = rows.set_column(keys(*map(str, range(len(sizes)))), "size", sizes, pa.int64())
    found = list(micro_batches(table, 3))
    assert [len(batch) for batch in found] == batches
    assert pa.concat_tables(found)["uri"].to_pylist() == table["uri"].to_pylist()


def test_files_that_a_full_or_closed_store_cost_are_tried_again():
    for error in (StorageError("There is no space left."), StorageError("Not permitted.")):
        assert rows.rejection("a.jpg", "store", error).retryable
    assert not rows.rejection("a.jpg", "fetch", NotFoundError("gone")).retryable
    assert not rows.rejection("a.jpg", "decode", DecodeError("no picture")).retryable
