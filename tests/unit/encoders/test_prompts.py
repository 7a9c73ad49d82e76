import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from photoorg.config import EncoderConfig
from photoorg.encoders.builtin import BuiltinEncoder
from photoorg.encoders.prompts import Category, Tagger, load_prompts, open_tagger
from photoorg.encoders.spaces import BuiltinSpec
from photoorg.errors import ConfigError, NoTextSearchError
from photoorg.space import EmbeddingSpace
from tests.unit.encoders.models import pictures, tiny_clip


class Phrases:
    """A fake encoder whose texts have the vectors it was given."""

    short_side = 1

    def __init__(self, vectors: dict[str, np.ndarray]) -> None:
        self._vectors = vectors
        dim = len(next(iter(vectors.values())))
        self.space = EmbeddingSpace(
            "phrases", "fake", "none", "1", "none", dim, modalities=("image", "text")
        )

    def encode_images(self, images):
        raise AssertionError("tags come from vectors")

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        x_nd = np.array([self._vectors[text] for text in texts], np.float32)
        return x_nd / np.linalg.norm(x_nd, axis=1, keepdims=True)


def category(**changes: object) -> Category:
    keys = {
        "category": "thing",
        "select": "multi",
        "templates": ["a {}"],
        "tags": {"dog": [], "cat": [], "tree": []},
        "none": ["nothing"],
        **changes,
    }
    return Category.model_validate(keys)


def axes(*names: str) -> dict[str, np.ndarray]:
    return {name: np.eye(len(names))[n] for n, name in enumerate(names)}


def tagger(**changes: object) -> Tagger:
    vectors = axes("a dog", "a cat", "a tree", "nothing")
    return open_tagger(Phrases(vectors), [category(**changes)])


def labels(tagged: Tagger, *vectors: Sequence[float]) -> list[list[str]]:
    return [[t.label for t in tags] for t in [tagged.tag(np.array(vectors))] for tags in t]


def test_multi_takes_what_beats_none_and_the_surest_first() -> None:
    assert labels(tagger(threshold=0.6), [0.6, 0.8, 0, 0], [0, 0, 0, 1], [0.1, 0.1, 0.1, 0.98]) == [
        ["cat", "dog"],
        [],
        [],
    ]
    assert labels(tagger(most=1), [0.6, 0.8, 0, 0]) == [["cat"]]


def test_single_takes_the_most_probable_or_nothing() -> None:
    single = tagger(select="single", threshold=0.6)
    assert labels(single, [0.6, 0.8, 0, 0], [0, 0, 0, 1], [0.7, 0.7, 0, 0]) == [["cat"], [], []]
    tag = single.tag(np.array([[0, 0, 1, 0]]))[0][0]
    assert (tag.category, tag.source) == ("thing", "zero-shot") and 0.99 < (tag.score or 0) <= 1


def test_a_higher_temperature_makes_it_less_sure() -> None:
    mixed = np.array([[0.7, 0.6, 0.2, 0.1]])
    sharp, mild = (
        tagger(select="single", threshold=0.01, temperature=heat).tag(mixed)[0][0].score
        for heat in (0.01, 0.5)
    )
    assert sharp is not None and mild is not None and mild < 0.5 < sharp


def test_phrases_and_templates_are_averaged() -> None:
    vectors = axes("a dog", "the dog", "a puppy", "the puppy", "a cat", "the cat", "none")
    spec = category(
        templates=["a {}", "the {}"],
        tags={"dog": ["dog", "puppy"], "cat": "cat"},
        select="single",
        threshold=0.9,
        none=[],
    )
    tagged = open_tagger(Phrases(vectors), [spec])
    every = np.eye(7)[:6]
    assert labels(tagged, *every) == [["dog"]] * 4 + [["cat"]] * 2


def test_vectors_that_are_no_numbers_get_no_tags() -> None:
    bad = [float("nan")] * 4
    assert labels(tagger(), bad) == [[]]
    assert labels(tagger(select="single"), bad) == [[]]
    assert tagger().tag(np.zeros((0, 4))) == []


def test_a_space_without_text_is_refused() -> None:
    mute = BuiltinEncoder(BuiltinSpec(kind="builtin", name="builtin"), EncoderConfig(), "")
    with pytest.raises(NoTextSearchError, match="has no text"):
        open_tagger(mute, [category()])


def test_a_clip_model_tags_its_own_pictures(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("open_clip")
    from photoorg.encoders.openclip import OpenClipEncoder

    encoder = OpenClipEncoder(tiny_clip(tmp_path), EncoderConfig(device="cpu"), str(tmp_path))
    categories = load_prompts()
    found = open_tagger(encoder, categories).tag(
        encoder.encode_images(pictures((64, 64), (90, 70)))
    )
    known = {c.category: set(c.tags) for c in categories}
    assert len(found) == 2
    for tag in (tag for tags in found for tag in tags):
        assert tag.label in known[tag.category] and 0.5 <= (tag.score or 0) <= 1


@pytest.mark.data
def test_real_clip_vectors_are_tagged_with_what_they_say(shared_data: Path) -> None:
    """Text vectors of labels stand in for photos: alone, and two things in one."""
    folder = shared_data / "models" / "clip-text"
    lvis = json.loads((folder / "lvis_v1_train_cat_info.json").read_text())
    names = [entry["name"].replace("_", " ") for entry in sorted(lvis, key=lambda e: e["id"])]
    vectors = np.load(folder / "lvis_v1_clip_a+cname.npy")
    wanted = ["horse", "pizza", "umbrella", "bicycle", "piano", "banana", "sofa", "lamb (animal)"]
    at = [names.index(name) for name in wanted if name in names]
    assert len(at) >= 6
    others = {names[i]: vectors[i] for i in range(0, len(names), 97) if i not in at}
    phrases = {f"a {names[i]}": vectors[i] for i in at} | others
    tags = {f"tag {n}": names[i] for n, i in enumerate(at)}
    spec = category(tags=tags, none=list(others), threshold=0.9)
    tagged = open_tagger(Phrases(phrases), [spec])
    unit = vectors[at] / np.linalg.norm(vectors[at], axis=1, keepdims=True)
    alone = labels(tagged, *unit)
    assert [tags[:1] for tags in alone] == [[f"tag {n}"] for n in range(len(at))]
    both = unit[0] + unit[1]
    assert set(labels(tagged, both / np.linalg.norm(both))[0][:2]) == {"tag 0", "tag 1"}


def test_the_prompts_of_the_project_are_whole() -> None:
    categories = {c.category: c for c in load_prompts()}
    assert set(categories) == {"setting", "activity", "weather", "time_of_day", "mood", "object"}
    assert categories["setting"].select == "single" and categories["object"].select == "multi"
    assert "a sandy shore" in categories["setting"].tags["beach"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tags: [", "cannot be read as YAML"),
        ("- a\n- b", "keys of one category"),
        (
            "select: multi\ntemplates: ['a {}']\ntags: {dog: }\nnone: [x]\nweight: 3",
            "weight: there",
        ),
        ("select: some\ntemplates: ['a {}']\ntags: {dog: }\nnone: [x]", "select: Input should be"),
        ("select: multi\ntemplates: ['a dog']\ntags: {dog: }\nnone: [x]", "needs one {}"),
        ("select: multi\ntemplates: ['a {}']\ntags: {dog: }", "multi needs `none`"),
        ("select: single\ntemplates: ['a {}']\ntags: {dog: }", "two tags"),
        ("select: single\ntemplates: ['a {}']\nnone: [x]", "tags: Field required"),
        ("select: single\ntemplates: ['a {}']\ntags: {Dog: }\nnone: [x]", "Dog"),
        ("select: single\ntemplates: ['a {}']\ntags: {yes: }\nnone: [x]", "tags"),
    ],
)
def test_a_wrong_file_is_named_with_its_fault(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "animals.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        load_prompts(str(tmp_path))
    assert says in str(error.value) and "animals.yaml" in str(error.value)


def test_a_tag_in_two_categories_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder of prompts"):
        load_prompts(str(tmp_path / "missing"))
    with pytest.raises(ConfigError, match="holds no prompts"):
        load_prompts(str(tmp_path))
    for name in ("one", "two"):
        text = "select: single\ntemplates: ['a {}']\ntags: {dog: }\nnone: [x]"
        (tmp_path / f"{name}.yaml").write_text(text)
    with pytest.raises(ConfigError, match="'dog' twice: in one and two"):
        load_prompts(str(tmp_path))
