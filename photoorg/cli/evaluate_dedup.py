"""`photoorg evaluate dedup`: how well duplicates are found among labelled files."""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from photoorg.cli.ingest import ingest
from photoorg.cli.parser import Commands
from photoorg.cli.session import Session, open_catalog, override, running_database
from photoorg.config import PhotoOrgConfig, parse
from photoorg.errors import InputError, NotFoundError
from photoorg.registry import load

STAGES = ("exif", "hash", "quality", "thumbnail", "embed")


def add_to(group: Commands) -> None:
    """Add `evaluate dedup` to the group `evaluate`."""
    parser = group.add(
        "dedup",
        "find duplicates among the files of DIR and compare with labelled groups",
        "photoorg evaluate dedup ~/labelled --truth truth.csv --json",
        _dedup,
        tenant=False,
    )
    parser.add_argument("folder", metavar="DIR", help="a folder with the files")
    parser.add_argument(
        "--truth", metavar="CSV", required=True, help="columns file,group; a blank group: in none"
    )
    parser.add_argument("--space", metavar="FILE", help="space file or name (default: configured)")
    parser.add_argument(
        "--confidence", type=float, metavar="X", help="threshold 0..1 (default: configured)"
    )
    parser.add_argument("--png", metavar="FILE", help="draw the curves (needs matplotlib)")
    parser.add_argument(
        "--bursts", action="store_true", help="count frames of one burst as duplicates too"
    )


def read_truth(path: Path, folder: Path) -> dict[Path, str]:
    """Group of every file of a CSV with columns file and group; InputError where it is not one.

    `folder` is resolved; files are in it, named from there or in full.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, skipinitialspace=True)
            reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
            rows = [(reader.line_num, row) for row in reader]
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {path}.", fix="Check --truth.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(
            f"{path} cannot be read as CSV: {why}.",
            fix="Give a comma-separated UTF-8 file with the header file,group.",
        ) from None
    if not rows or not {"file", "group"} <= set(reader.fieldnames):
        raise InputError(
            f"{path} has no rows under the columns file and group.",
            fix="Give it the header file,group and a line per file.",
        )
    truth: dict[Path, str] = {}
    for line, row in rows:
        name, label = (row["file"] or "").strip(), (row["group"] or "").strip()
        if not name and not label:
            continue
        if not name:
            raise InputError(f"{path}, line {line} names no file.", fix="Fill or delete the line.")
        # As the files are listed: a link is a file of its own, not what it points to.
        file = Path(os.path.abspath(folder / name))
        if not file.is_relative_to(folder):
            file = Path(os.path.realpath(file.parent), file.name)
        if not file.is_relative_to(folder):
            raise InputError(
                f"{path}, line {line}: {name} is not in {folder}.",
                fix="Name files from DIR, or in full.",
            )
        if truth.setdefault(file, label) != label:
            raise InputError(
                f"{path}, line {line}: {name} is in group {label!r} and in {truth[file]!r}.",
                fix="A file is in one group, or in none.",
            )
    return truth


def require_files(truth: dict[Path, str], session: Session) -> dict[Path, str]:
    """Those of the labelled files that are there; InputError if fewer than two are."""
    there = {path: label for path, label in truth.items() if path.is_file()}
    missing = [path for path in truth if path not in there]
    if len(there) < 2:
        count = "One" if there else "None"
        such = f" ({missing[0]} is not)" if missing else ""
        raise InputError(
            f"{count} of the {len(truth)} files of the truth is there{such}; a pair takes two.",
            fix="Names in the CSV are relative to DIR.",
        )
    if missing:
        session.out.note(f"Not there, so left out: {len(missing)} files, such as {missing[0]}")
    return there


def found_pairs(
    config: PhotoOrgConfig, *, bursts: bool
) -> tuple[dict[str, str], dict[tuple[str, str], float], dict[tuple[str, str], float]]:
    """After a scan: photo of every file, pairs of one group with its confidence, scored pairs.

    The pairs of a group are those of the keeper and its members, and of members among each other.
    """
    from photoorg.store.catalog import duplicates, sources
    from photoorg.store.sources import local_file

    kinds = ("exact", "copy", "edit", *(("burst",) if bursts else ()))
    with open_catalog(config) as catalog:
        with catalog.tenant(config.tenant) as tx:
            files = {str(local_file(uri)): photo for uri, photo in sources.photos(tx)}
            scored = {(a, b): c for a, b, kind, c in duplicates.scored(tx) if kind in kinds}
            together: dict[tuple[str, str], float] = {}
            cursor: str | None = None
            while True:
                groups, cursor = duplicates.page(tx, after=cursor, limit=500)
                for group in groups:
                    members = sorted(m.photo_id for m in group.members if m.kind in kinds)
                    together |= dict.fromkeys(combinations(members, 2), group.confidence)
                if cursor is None:
                    break
    return files, together, scored


def _dedup(args: argparse.Namespace, session: Session) -> None:
    from photoorg.evaluate.pairs import pair_curve, score

    started = time.monotonic()
    folder = Path(args.folder).expanduser().resolve()
    if not folder.is_dir():
        raise NotFoundError(f"There is no folder {folder}.", fix="Check the path.")
    labelled = require_files(read_truth(Path(args.truth).expanduser(), folder), session)
    with TemporaryDirectory(prefix="photoorg-evaluate-") as scratch:
        plain = session.config(encoder={"space": args.space}, dedup={"confidence": args.confidence})
        with running_database(throw_away(plain, scratch)) as config:
            summary = ingest(config, [str(folder)])
            scan: dict[str, Any] = load("pipelines.dedup:run")(config)
            photos, together, scored = found_pairs(config, bursts=args.bursts)
    files = by_file(labelled, photos, together, scored)
    scores = score(files.labels, files.found, files.confidence, files.counts)
    curve, pr_auc = pair_curve(files.labels, files.confidence, files.counts)
    if args.png:
        from photoorg.evaluate.curves import draw_pairs

        draw_pairs(curve, pr_auc, config.dedup.confidence, Path(args.png).expanduser())
    data = {
        "precision": round(scores.precision, 4),
        "recall": round(scores.recall, 4),
        "f1": round(scores.f1, 4),
        "roc_auc": None if scores.roc_auc is None else round(scores.roc_auc, 4),
        "pr_auc": round(pr_auc, 4),
        "files": scores.n,
        "true_pairs": scores.positives,
        "found_pairs": scores.found,
        "groups": scan["groups"],
        "rejects": summary.rejects,
        "space": summary.space,
        "confidence": config.dedup.confidence,
        "png": args.png,
        "seconds": round(time.monotonic() - started, 2),
    }
    area = "-" if scores.roc_auc is None else f"{scores.roc_auc:.4f}"
    session.out.reply(
        data,
        f"precision {scores.precision:.3f}  recall {scores.recall:.3f}  F1 {scores.f1:.3f}  "
        f"ROC-AUC {area}\n{scores.n} files, {scores.positives} true pairs, {scores.found} found "
        f"in {data['seconds']:.1f} s, space {summary.space}",
    )


@dataclass(frozen=True, slots=True)
class ByFile:
    """Labelled files; `counts` files of the same bytes and label are one item. Pairs are of items,
    (a, a) are those among its files.
    """

    labels: list[str]
    counts: list[int]
    found: set[tuple[int, int]]
    confidence: dict[tuple[int, int], float]


def by_file(
    labelled: dict[Path, str],
    photos: dict[str, str],
    together: dict[tuple[str, str], float],
    scored: dict[tuple[str, str], float],
) -> ByFile:
    """Labels, found pairs and confidences over files; files of the same bytes are sure pairs.

    A file that could not be read is in no pair. A group's pair is at least as sure as any other.
    """
    counts = Counter(
        (label, photos.get(str(path)) or f"unread {path}") for path, label in labelled.items()
    )
    items = list(counts)
    of_photo: dict[str, list[int]] = {}
    for number, (_, photo) in enumerate(items):
        of_photo.setdefault(photo, []).append(number)
    found: set[tuple[int, int]] = set()
    confidence: dict[tuple[int, int], float] = {}

    def items_of(pair: tuple[str, str]) -> Iterator[tuple[int, int]]:
        for x, y in product(of_photo.get(pair[0], ()), of_photo.get(pair[1], ())):
            yield min(x, y), max(x, y)

    for pair, value in scored.items():
        confidence |= dict.fromkeys(items_of(pair), value)
    for pair, value in together.items():
        for items_pair in items_of(pair):
            found.add(items_pair)
            # Members meet through their keeper, and are then as sure as the group.
            confidence[items_pair] = max(confidence.get(items_pair, 0.0), value)
    for numbers in of_photo.values():
        for same in combinations_with_replacement(numbers, 2):
            if same[0] != same[1] or counts[items[same[0]]] > 1:
                found.add(same)
                confidence[same] = 1.0
    return ByFile([label for label, _ in items], list(counts.values()), found, confidence)


def throw_away(config: PhotoOrgConfig, folder: str) -> PhotoOrgConfig:
    """The same encoder and limits over an empty store and catalog of its own in `folder`.

    All scored pairs are kept, so that the curve over every threshold can be measured.
    """
    data = config.model_dump()
    data["storage"] = {"root": folder}
    data["database"] |= {"url": None, "embedded_dir": None}
    data["ingest"] |= {"stages": STAGES, "originals": "reference", "part_rows": 128}
    data["faces"] |= {"enabled": False}
    data["dedup"] |= {"floor": 0.0}
    return override(parse(data))
