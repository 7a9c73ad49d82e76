import numpy as np
import pytest
from PIL import ImageDraw, ImageFont

from photoorg.config import EncoderConfig
from photoorg.curation_config import EnrichConfig
from photoorg.encoders.ocr import RapidOcrReader, stroke_density
from photoorg.models import Rgb
from tests.pictures import picture

pytest.importorskip("rapidocr")
CPU = EncoderConfig(device="cpu", threads=1)


def sign(*lines: str, width: int = 640, height: int = 480) -> Rgb:
    """A picture with a light plate and dark letters on it."""
    image = picture(3, width, height)
    draw = ImageDraw.Draw(image)
    draw.rectangle((60, 60, 560, 80 + 60 * len(lines)), fill=(240, 238, 230))
    for number, line in enumerate(lines):
        place = (80, 80 + 60 * number)
        draw.text(place, line, font=ImageFont.load_default(36), fill=(20, 20, 30))
    return np.asarray(image)


@pytest.fixture(scope="module")
def reader() -> RapidOcrReader:
    return RapidOcrReader(EnrichConfig(), CPU)


def test_lines_are_read_from_top_to_bottom(reader: RapidOcrReader) -> None:
    text = reader.read(sign("HARBOUR 27", "coffee and cake"))
    assert text.replace(" ", "").lower().splitlines() == ["harbour27", "coffeeandcake"]


def test_a_picture_without_text_gives_empty_text(reader: RapidOcrReader) -> None:
    assert reader.read(np.asarray(picture(5, 640, 480))) == ""


def test_smooth_pictures_are_not_looked_over_and_written_ones_are(reader: RapidOcrReader) -> None:
    assert not reader.looks_written(np.asarray(picture(5, 640, 480)))
    assert reader.looks_written(sign("exit"))


def test_every_picture_is_looked_over_with_the_filter_off() -> None:
    everything = RapidOcrReader(EnrichConfig(ocr_strokes=0), CPU)
    assert everything.looks_written(np.zeros((64, 64, 3), np.uint8))
    assert everything.read(np.zeros((64, 64, 3), np.uint8)) == ""


@pytest.mark.parametrize("shape", [(1, 1), (3, 900), (900, 3), (20, 4000), (15, 15)])
def test_odd_shapes_are_no_error(reader: RapidOcrReader, shape: tuple[int, int]) -> None:
    assert reader.read(np.full((*shape, 3), 128, np.uint8)) == ""


def test_an_edge_is_no_stroke() -> None:
    edge = np.zeros((200, 300, 3), np.uint8)
    edge[:, 150:] = 255
    stripes = np.zeros((200, 300, 3), np.uint8)
    stripes[:, ::6] = stripes[:, 1::6] = 255
    assert stroke_density(edge) == 0.0
    assert stroke_density(stripes) > 0.2
