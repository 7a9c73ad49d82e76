"""OCR, NSFW and tags as stages: what they add, what a failure costs, and running one alone."""

import logging
import sys

import numpy as np
import pyarrow as pa
import pytest
from PIL import ImageDraw, ImageFont

from photoorg import schema
from photoorg.config import PhotoOrgConfig, parse
from photoorg.encoders.prompts import Category, Tagger, load_prompts, open_tagger
from photoorg.errors import ConfigError, EncoderUnavailableError
from photoorg.space import EmbeddingSpace
from photoorg.stages import rows
from photoorg.stages.embed import Embed
from photoorg.stages.enrich import ReadText, ScoreNsfw, ScoreNsfwByPrompts, Tag
from photoorg.stages.ingest import (
    FusedIngest,
    Models,
    decode_sides,
    made_by,
    open_models,
    stage_versions,
    wanted,
)
from photoorg.stages.online import OnlineIngest
from photoorg.stages.parts import Made, finish
from photoorg.store.objects import ObjectStore
from tests.pictures import jpeg, picture

SPACE = EmbeddingSpace("toy", "toy", "none", "1", "none", 2, modalities=("image", "text"))


class Brightness:
    """A fake encoder with text: dark is one axis, bright the other; refuses black pictures."""

    space = SPACE
    short_side = 64

    def encode_images(self, images):
        if any(not image.any() for image in images):
            raise ValueError("a black picture")
        return np.array([[0, 1] if image.mean() > 128 else [1, 0] for image in images], np.float32)

    def encode_texts(self, texts):
        return np.array([[0, 1] if "bright" in text else [1, 0] for text in texts], np.float32)


class Reader:
    """A fake reader: says how bright the picture is; refuses black ones."""

    long_side = 1280

    def read(self, image):
        if not image.any():
            raise ValueError("a black picture")
        return f"grey {int(image.mean())}"


class Scorer:
    """A fake scorer: brightness as a score; refuses batches with a black picture."""

    short_side = 64

    def score(self, images):
        if any(not image.any() for image in images):
            raise ValueError("a black picture")
        return np.array([image.mean() / 255 for image in images], np.float32)


def tagger() -> Tagger:
    spec = {
        "category": "light",
        "select": "single",
        "templates": ["{}"],
        "tags": {"night": "dark", "day": "bright"},
    }
    return open_tagger(Brightness(), [Category.model_validate(spec)])


def pixels(*levels: int | None) -> pa.Table:
    """Decoded rows of flat pictures; None is a rejected one."""
    count = len(levels)
    keys = [[f"file:///{n}" for n in range(count)], [1] * count, ["e"] * count, [None] * count]
    table = rows.start(pa.table([*keys, [0] * count], schema=schema.KEYS))
    flat = [None if v is None else np.full((8, 8, 3), v, np.uint8).tobytes() for v in levels]
    table = rows.set_column(table, "rgb", flat, pa.large_binary())
    for name in ("rgb_height", "rgb_width", "width", "height", "frames"):
        table = rows.set_column(table, name, [8] * count, pa.int32())
    for name, value in (("photo_id", "0" * 64), ("mime", "image/png"), ("decoder", "fake")):
        table = rows.set_column(table, name, [value] * count, pa.string())
    gone = {
        n: rows.rejection(f"file:///{n}", "decode", ValueError("no"))
        for n, v in enumerate(levels)
        if v is None
    }
    return rows.mark_rejected(table, gone)


def failed(table: pa.Table) -> list[list[str]]:
    return [[f["stage"] for f in row] for row in table["failures"].to_pylist()]


def test_text_and_scores_are_added_and_a_failure_costs_its_row_alone():
    table = ScoreNsfw(Scorer())(ReadText(Reader())(pixels(10, 0, None, 255)))
    assert table["ocr_text"].to_pylist() == ["grey 10", None, None, "grey 255"]
    scores = table["nsfw"].to_pylist()
    assert scores[0] == pytest.approx(10 / 255) and scores[1:] == [None, None, 1.0]
    assert failed(table) == [[], ["ocr", "nsfw"], [], []]
    part = finish(table, Made(("ocr", "nsfw")))
    assert part.photos["status"].to_pylist() == ["ready", "partial", "ready"]
    assert part.photos["ocr_text"].to_pylist() == ["grey 10", None, "grey 255"]
    assert len(part.rejects) == 1


def test_tags_come_from_the_vectors_and_a_photo_without_one_fails():
    table = Tag(tagger())(Embed(Brightness())(pixels(10, 0, None, 255)))
    tags = table["tags"].to_pylist()
    assert [t and t[0]["label"] for t in tags] == ["night", None, None, "day"]
    assert tags[0][0]["category"] == "light" and 0.5 < tags[0][0]["score"] <= 1
    assert failed(table) == [[], ["embed", "tags"], [], []]


def configured(tmp_path, *stages: str, **more: object) -> PhotoOrgConfig:
    root = {"root": str(tmp_path / "store")}
    return parse({"storage": root, "ingest": {"stages": stages}, **more})


def test_they_are_off_unless_asked_for_and_have_versions(tmp_path):
    config = PhotoOrgConfig()
    assert not {"ocr", "nsfw", "tags"} & set(wanted(config))
    assert wanted(configured(tmp_path, "tags")) == ("tags", "embed")
    assert set(stage_versions(("ocr", "nsfw", "tags"))) == {"ocr", "nsfw", "tags"}
    assert decode_sides(configured(tmp_path, "ocr"))[1] == 1280
    assert decode_sides(configured(tmp_path, "nsfw"))[1] == 0


def test_one_stage_alone_leaves_the_columns_of_the_others_null(tmp_path):
    config = configured(tmp_path, "ocr")
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(1))
    columns = [[f"file://{path}"], [1], ["e"], [None], [0]]
    models = Models(reader=Reader())
    store = ObjectStore(config.storage)
    part = FusedIngest(config, store, models)(pa.table(columns, schema=schema.KEYS))
    (row,) = part.photos.to_pylist()
    assert row["ocr_text"].startswith("grey ") and row["status"] == "ready"
    assert (row["nsfw"], row["tags"], row["pdq"], row["quality"]) == (None, None, None, None)
    assert part.vectors is None
    assert part.photos.schema.metadata[b"photoorg.stages"] == b"ocr"


def test_an_upload_goes_through_them_too(tmp_path):
    config = configured(tmp_path, "embed", "ocr", "nsfw", "tags")
    models = Models(encoder=Brightness(), reader=Reader(), nsfw=Scorer(), tagger=tagger())
    store = ObjectStore(config.storage)
    done = OnlineIngest(config, store, models).process(jpeg(3), uri="blob/3", filename="x.jpg")
    (row,) = done.photos.to_pylist()
    assert row["ocr_text"] and 0 < row["nsfw"] < 1 and len(row["tags"]) == 1
    assert done.vector is not None


def test_a_space_without_text_gives_no_tags_and_one_warning(tmp_path, caplog):
    config = configured(tmp_path, "tags", encoder={"space": "builtin"})
    with caplog.at_level(logging.WARNING):
        models = open_models(config)
    assert models.tagger is None and models.encoder is not None
    assert "Photos get no tags" in caplog.text
    assert made_by(config, models).stages == ("embed",)


def test_an_encoder_that_is_open_is_used_again(tmp_path):
    encoder = Brightness()
    assert open_models(configured(tmp_path, "embed"), encoder=encoder).encoder is encoder
    assert open_models(configured(tmp_path, "hash"), encoder=encoder).encoder is None


def test_an_unknown_reader_is_named_with_those_there_are(tmp_path):
    config = configured(tmp_path, "ocr", enrich={"ocr": "tesseract"})
    with pytest.raises(ConfigError, match="rapidocr"):
        open_models(config)


def test_a_missing_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(EncoderUnavailableError, match=r"photoorg\[enrich\]"):
        open_models(configured(tmp_path, "ocr"))


def test_real_models_read_a_sign_on_a_file(tmp_path):
    pytest.importorskip("rapidocr")
    pytest.importorskip("nudenet")
    image = picture(4, 800, 600)
    draw = ImageDraw.Draw(image)
    draw.rectangle((100, 100, 600, 200), fill=(245, 245, 240))
    draw.text((120, 120), "MUSEUM CLOSED", font=ImageFont.load_default(48), fill=(10, 10, 10))
    image.save(tmp_path / "sign.png")
    picture(9, 800, 600).save(tmp_path / "plain.png")
    config = configured(tmp_path, "ocr", "nsfw", encoder={"device": "cpu", "threads": 1})
    models = open_models(config)
    uris = [f"file://{tmp_path}/{name}.png" for name in ("sign", "plain")]
    columns = [uris, [1, 1], ["e", "e"], [None, None], [0, 0]]
    store = ObjectStore(config.storage)
    part = FusedIngest(config, store, models)(pa.table(columns, schema=schema.KEYS))
    sign, plain = part.photos.to_pylist()
    assert sign["ocr_text"].replace(" ", "").lower() == "museumclosed" and plain["ocr_text"] == ""
    assert 0 <= sign["nsfw"] < 0.5 and 0 <= plain["nsfw"] < 0.5
    assert {sign["status"], plain["status"]} == {"ready"}


EXPLICIT = Category(
    category="nsfw",
    select="single",
    templates=("{}",),
    tags={"one": ("bright",), "two": ("very bright",)},
    none=("dark",),
)


def test_phrases_score_what_a_photo_shows_from_its_vector():
    tagger = open_tagger(Brightness(), [EXPLICIT])
    scores = tagger.shares(np.array([[0, 1], [1, 0], [0.6, 0.8]], np.float32))
    assert scores[0] > 0.99 and scores[1] < 0.01 and scores[0] >= scores[2] > 0.99
    scored = ScoreNsfwByPrompts(tagger)(Embed(Brightness())(pixels(10, 0, None, 255)))
    assert scored["nsfw"].to_pylist() == [pytest.approx(0), None, None, pytest.approx(1)]
    assert failed(scored) == [[], ["embed", "nsfw"], [], []]


def test_nsfw_by_phrases_needs_the_vector_and_a_space_with_text(caplog):
    config = parse({"ingest": {"stages": ["nsfw"]}, "enrich": {"nsfw": "prompts"}})
    assert "embed" in wanted(config)
    with caplog.at_level(logging.WARNING):
        models = open_models(config)
    assert models.nsfw is None and "no nsfw score" in caplog.text
    assert "nsfw" not in made_by(config, models).stages


def test_the_phrases_that_come_with_it_are_well_formed():
    (category,) = load_prompts("default", "nsfw")
    assert category.select == "single" and category.none


class Middle(Brightness):
    """Looks at the whole picture and at its middle."""

    space = EmbeddingSpace(
        "toy", "toy", "none", "1", "none", 2, modalities=("image", "text"), views=("full", "centre")
    )


def test_phrases_are_compared_with_the_photo_as_a_whole_where_it_has_several_views():
    embedded = Embed(Middle())(pixels(10, 255))
    scored = ScoreNsfwByPrompts(open_tagger(Middle(), [EXPLICIT]))(embedded)
    assert failed(scored) == [[], []]
    assert scored["nsfw"].to_pylist() == [pytest.approx(0), pytest.approx(1)]
