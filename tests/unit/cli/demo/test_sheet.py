from PIL import Image

from photoorg.cli.demo.sheet import Cell, Row, boxed, draw


def cell(colour: str, text: str = "0.912  cat") -> Cell:
    return Cell(Image.new("RGB", (300, 200), colour), (text, "file.jpg"))


def test_the_sheet_shows_query_and_results_side_by_side(tmp_path):
    path = tmp_path / "sheet.png"
    draw(
        [Row("A question", cell("red"), (cell("lime"), cell("blue"))), Row("B", cell("red"), ())],
        path,
    )
    with Image.open(path) as sheet:
        colours = {colour for _, colour in sheet.getcolors(1 << 20)}
    assert {(255, 0, 0), (0, 255, 0), (0, 0, 255)} <= colours


def test_a_long_label_is_cut_and_the_sheet_keeps_its_width(tmp_path):
    short, long = tmp_path / "short.png", tmp_path / "long.png"
    draw([Row("Q", cell("red"), (cell("blue"),))], short)
    draw([Row("Q", cell("red"), (cell("blue", "x" * 500),))], long)
    with Image.open(short) as a, Image.open(long) as b:
        assert a.size == b.size
        margin = b.crop((b.width - 8, 0, b.width, b.height))
        assert len(margin.getcolors()) == 1


def test_a_box_is_drawn_on_a_copy():
    image = Image.new("RGB", (100, 100), "white")
    marked = boxed(image, (20, 20, 40, 40))
    assert marked.getpixel((20, 40)) != (255, 255, 255)
    assert image.getpixel((20, 40)) == (255, 255, 255)
