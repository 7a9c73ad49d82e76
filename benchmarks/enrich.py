"""OCR, NSFW and tags: photos per second of each stage, and words lost to the stroke filter.

python -m benchmarks.enrich --json [--pictures 60] [--sides 480 640] [--folder DIR]

The peer reads every picture with RapidOCR as it comes. Ours looks for strokes first and searches
lines at a lower resolution; "ours_all" leaves the first step out, "peer_at_our_side" is RapidOCR at
our resolution, and "side_N" is ours at others. Half of the pictures have words on them
(benchmarks.texts). With --folder, the share of its photos that the
stroke filter skips, and what is written in the skipped ones according to the peer.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.report import finish, print_table
from benchmarks.texts import plain, written
from photoorg.config import EncoderConfig
from photoorg.curation_config import EnrichConfig
from photoorg.encoders.nsfw import NudeNetScorer
from photoorg.encoders.ocr import RapidOcrReader
from photoorg.encoders.prompts import load_prompts, open_tagger
from photoorg.models import Rgb
from photoorg.space import EmbeddingSpace

WIDTH, HEIGHT = 1280, 960
VECTORS, DIM = 20_000, 512
Read = Callable[[Rgb], str]
SIDE = EnrichConfig().ocr_detector_side
AT_OURS = {"Det.limit_type": "max", "Det.limit_side_len": SIDE}


class RandomTexts:
    """Random unit vectors for phrases: the work of tagging does not depend on what they say."""

    space = EmbeddingSpace(
        "random", "random", "none", "1", "none", DIM, modalities=("image", "text")
    )
    short_side = 1

    def encode_images(self, images: Sequence[Rgb]) -> Any:
        """Not asked for."""
        return self.encode_texts([""] * len(images))

    def encode_texts(self, texts: Sequence[str]) -> Any:
        """Unit rows [n, DIM]."""
        x_nd = np.random.default_rng(len(texts)).standard_normal((len(texts), DIM))
        return (x_nd / np.linalg.norm(x_nd, axis=1, keepdims=True)).astype(np.float32)


def main() -> None:
    options = _options()
    encoder = EncoderConfig(device="cpu", threads=1)
    half = options.pictures // 2
    shown = [written(seed, WIDTH, HEIGHT) for seed in range(half)]
    texts = [(np.asarray(image), words) for image, words in shown]
    plains = [np.asarray(plain(seed, WIDTH, HEIGHT)) for seed in range(half)]
    ours = RapidOcrReader(EnrichConfig(), encoder)
    everything = RapidOcrReader(EnrichConfig(ocr_strokes=0), encoder)
    readers = {
        "peer": _peer(),
        "peer_at_our_side": _peer(AT_OURS),
        "ours_all": everything.read,
        "ours": ours.read,
    }
    for side in options.sides:
        config = EnrichConfig(ocr_detector_side=side)
        readers[f"side_{side}"] = RapidOcrReader(config, encoder).read
    result: dict[str, Any] = {"pictures": 2 * half, "size": f"{WIDTH}x{HEIGHT}"}
    for name, read in readers.items():
        result |= {f"{name}_{k}": v for k, v in _measure(read, texts, plains).items()}
    result["recall_kept"] = result["ours_word_recall"] / max(result["peer_word_recall"], 1e-9)
    result["skipped_plain"] = float(np.mean([not ours.looks_written(i) for i in plains]))
    result["skipped_written"] = float(np.mean([not ours.looks_written(i) for i, _ in texts]))
    result |= _folder(options.folder, ours, readers["peer"]) if options.folder else {}
    scorer = NudeNetScorer(EnrichConfig(), encoder)
    result["nsfw_images_per_s"] = _rate(lambda: scorer.score(plains), len(plains))
    tagger = open_tagger(RandomTexts(), load_prompts())
    x_nd = np.random.default_rng(0).standard_normal((VECTORS, DIM)).astype(np.float32)
    x_nd /= np.linalg.norm(x_nd, axis=1, keepdims=True)
    result["tags_photos_per_s"] = _rate(lambda: tagger.tag(x_nd), VECTORS)
    if not options.json:
        print_table("Enrichment, one thread", list(result.items()))
    finish("enrich", result)


def _peer(more: Mapping[str, Any] | None = None) -> Read:
    from rapidocr import RapidOCR

    parameters = {
        "Global.log_level": "critical",
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        **(more or {}),
    }
    engine = RapidOCR(params=parameters)

    def read(image: Rgb) -> str:
        found = engine(np.ascontiguousarray(image[:, :, ::-1]))
        return "\n".join(found.txts or ())

    return read


def _measure(
    read: Read, texts: Sequence[tuple[Rgb, list[str]]], plains: Sequence[Rgb]
) -> dict[str, float]:
    """Words found of those shown, words found where none are, and pictures per second."""
    read(plains[0])
    start = time.perf_counter()
    found = [_words(read(image)) for image, _ in texts]
    junk = [_words(read(image)) for image in plains]
    seconds = time.perf_counter() - start
    shown = sum(len(words) for _, words in texts)
    hits = sum(len(have & set(words)) for have, (_, words) in zip(found, texts, strict=True))
    return {
        "word_recall": hits / shown,
        "words_on_plain": float(sum(map(len, junk))),
        "images_per_s": (len(texts) + len(plains)) / seconds,
    }


def _folder(folder: str, ours: RapidOcrReader, peer: Read) -> dict[str, Any]:
    paths = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in (".jpg", ".png"))
    step = max(1, len(paths) // 200)
    skipped, seen, lost, words = 0, 0, 0, 0
    for path in paths[::step]:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        image.thumbnail((WIDTH, WIDTH))
        pixels = np.asarray(image)
        found = {word for word in _words(peer(pixels)) if len(word) > 2}
        words += len(found)
        seen += 1
        if not ours.looks_written(pixels):
            skipped += 1
            lost += len(found)
    return {
        "folder_photos": seen,
        "folder_skipped": skipped / max(seen, 1),
        "folder_words": words,
        "folder_words_in_skipped": lost,
    }


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _rate(work: Callable[[], Any], count: int) -> float:
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--sides", type=int, nargs="*", default=[480, 640])
    parser.add_argument("--folder", help="a folder of photos to look over besides")
    return parser.parse_args()


if __name__ == "__main__":
    main()
