"""The questions the demonstration asks, each with the condition that makes its answer right."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

import httpx
from PIL import Image, ImageOps

from photoorg.cli.demo.client import Answer, Client
from photoorg.cli.demo.library import STRANGER, Library, crop, jpeg, photograph, subject_named
from photoorg.cli.demo.sheet import Cell, Row, boxed
from photoorg.store.sources import local_file

K = 6
SEARCHABLE_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question asked: whether the answer was right, in a sentence, and its row of the sheet."""

    right: bool
    sentence: str
    row: Row | None = None


def similar_to_crop(client: Client, library: Library) -> Outcome:
    """A crop that is not in the library finds the photo it was cut from."""
    subject = "pavilion"
    picture = crop(photograph(subject_named(subject)), 0.2, 0.15, 0.85, 0.9)
    answer = client.by_image(jpeg(picture, 70), k=K)
    right = library.subject_at(answer.top["uri"]) == subject
    sentence = f"a crop of the {subject}: found {_told(library, answer)}"
    row = _row(client, library, "Similar to this crop", picture, "uploaded crop", answer)
    return Outcome(right, sentence, row)


def similar_to_photo(client: Client, library: Library) -> Outcome:
    """A photo of the library finds its other versions, and not itself."""
    subject = "cat"
    path = library.path(subject, "original")
    photo_id = hashlib.sha256(path.read_bytes()).hexdigest()
    answer = client.similar(photo_id, k=K)
    right = library.subject_at(answer.top["uri"]) == subject
    right = right and photo_id not in {result["photo_id"] for result in answer.results}
    sentence = f"more like {path.name}: found {_told(library, answer)}"
    with Image.open(path) as picture:
        row = _row(client, library, "More like this photo", picture, path.name, answer)
    return Outcome(right, sentence, row)


def new_photo_in_part_of_image(client: Client, library: Library) -> Outcome:
    """A photo uploaded just now is found by a box drawn in another picture."""
    flower = photograph(STRANGER)
    started = time.monotonic()
    photo_id = client.upload(jpeg(flower), "flower.jpg")
    picture, box = _page_with(flower.resize((420, 280)))
    query = jpeg(picture)
    while True:
        answer = client.by_image(query, k=K, box=box)
        waited = time.monotonic() - started
        right = answer.top["photo_id"] == photo_id
        if right or waited > SEARCHABLE_WITHIN_S:
            break
        time.sleep(0.2)
    found = f"on top {waited:.1f} s after its upload" if right else "not found"
    sentence = f"a new photo, by a box in another picture: {found} ({answer.milliseconds:.0f} ms)"
    title = "The box in this picture, against a photo uploaded seconds ago"
    row = _row(client, library, title, boxed(picture, box), "uploaded page, box", answer)
    return Outcome(right, sentence, row)


def described_in_words(client: Client, library: Library) -> Outcome:
    """A text query where the encoder reads text; elsewhere the server says why it cannot."""
    text = "a cup of coffee on a table"
    try:
        answer = client.by_text(text, k=K)
    except httpx.HTTPStatusError as error:
        problem = error.response.json()
        right = problem.get("code") == "no-text-search"
        return Outcome(right, f'"{text}": refused, as it should be: {problem.get("detail")}')
    right = library.subject_at(answer.top["uri"]) == "coffee"
    return Outcome(
        right,
        f'"{text}": found {_told(library, answer)}',
        _row(client, library, f'"{text}"', Image.new("RGB", (4, 3), "white"), "text", answer),
    )


QUESTIONS = (similar_to_crop, similar_to_photo, new_photo_in_part_of_image, described_in_words)


def _page_with(picture: Image.Image) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """An album's page with the picture beside another one, and where on the page it is."""
    page = Image.new("RGB", (900, 600), (233, 229, 220))
    page.paste(photograph(subject_named("coffee")).resize((420, 280)), (30, 30))
    left, top = 450, 280
    page.paste(picture, (left, top))
    return page, (left, top, picture.width, picture.height)


def _told(library: Library, answer: Answer) -> str:
    if not answer.results:
        return "nothing"
    top = answer.top
    name = local_file(top["uri"]).name
    more = len(top["folded"])
    folded = f" and {more} near-duplicates of it" if more else ""
    return f"{name} at {top['score']:.2f}{folded} ({answer.milliseconds:.0f} ms)"


def _row(
    client: Client, library: Library, title: str, picture: Image.Image, name: str, answer: Answer
) -> Row:
    shown = ImageOps.exif_transpose(picture).convert("RGB")
    cells = []
    for result in answer.results:
        folded = f" +{len(result['folded'])}" if result["folded"] else ""
        subject = library.subject_at(result["uri"])
        found = local_file(result["uri"]).name if subject else "just uploaded"
        lines = (f"{result['score']:.3f}{folded}  {subject or ''}", found)
        cells.append(Cell(client.thumbnail(result["photo_id"]), lines))
    return Row(title, Cell(shown, ("query", name)), tuple(cells))
