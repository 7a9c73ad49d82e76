"""`photoorg evaluate`: measure on labelled photos how good the answers are."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.cli import evaluate_dedup, evaluate_events, evaluate_faces
from photoorg.cli.ingest import ingest
from photoorg.cli.parser import Commands
from photoorg.cli.session import Session
from photoorg.config import PhotoOrgConfig, parse
from photoorg.errors import InputError
from photoorg.evaluate.class_folders import class_folders


def add_to(commands: Commands) -> None:
    """Add `evaluate retrieval` and the evaluations of other modules."""
    group = commands.group(
        "evaluate", "measure the answers on labelled photos", "photoorg evaluate retrieval DIR"
    )
    parser = group.add(
        "retrieval",
        "search every photo of DIR among the others; a hit of the same folder is right",
        "photoorg evaluate retrieval ~/labelled --space mobilenetv2",
        _retrieval,
        tenant=False,
    )
    parser.add_argument("folder", metavar="DIR", help="a folder with one folder per class")
    parser.add_argument("--space", metavar="FILE", help="space file or name (default: configured)")
    parser.add_argument(
        "--png", metavar="FILE", help="draw precision, recall and nDCG at 1 to 10 (matplotlib)"
    )
    evaluate_dedup.add_to(group)
    evaluate_events.add_to(group)
    evaluate_faces.add_to(group)


@dataclass(frozen=True, slots=True)
class Embedded:
    """Distinct photos of an ingest: their ids, files and unit-norm vectors [n, views * dim]."""

    ids: list[str]
    files: list[Path]
    x_nw: NDArray[np.float32]
    views: int = 1


def read_embedded(config: PhotoOrgConfig, summary: Any) -> Embedded:
    """What an ingest wrote, read back from its run; a photo that is there twice counts once."""
    from photoorg import schema
    from photoorg.stages.parts import INGEST
    from photoorg.store.layout import run_dir, vectors_dir
    from photoorg.store.objects import ObjectStore
    from photoorg.store.runs import Run
    from photoorg.store.sources import local_file

    store = ObjectStore(config.storage)
    found: dict[str, tuple[Path, NDArray[np.float16]]] = {}
    views = 1
    for run_id in summary.run_ids:
        photos = Run(store, run_dir(config.tenant, INGEST, run_id))
        vectors = Run(store, vectors_dir(config.tenant, summary.space, run_id))
        for part in photos.parts():
            table = photos.read_part(part)
            uris = dict(zip(*(table[c].to_pylist() for c in ("photo_id", "uri")), strict=True))
            embedded = vectors.read_part(part)
            if not len(embedded):
                continue
            views = schema.views_of(embedded.schema)
            rows = embedded["vector"].combine_chunks()
            x_nd = rows.flatten().to_numpy(zero_copy_only=False).reshape(len(rows), -1)
            for photo_id, x_d in zip(embedded["photo_id"].to_pylist(), x_nd, strict=True):
                found.setdefault(photo_id, (local_file(uris[photo_id]), x_d))
    if not found:
        return Embedded([], [], np.zeros((0, 0), np.float32))
    x_nw = np.asarray([x_d for _, x_d in found.values()], np.float32)
    x_nvd = x_nw.reshape(len(found), views, -1)
    x_nvd /= np.maximum(np.linalg.norm(x_nvd, axis=-1, keepdims=True), 1e-12)
    files = [file for file, _ in found.values()]
    return Embedded(list(found), files, x_nvd.reshape(len(found), -1), views)


def _retrieval(args: argparse.Namespace, session: Session) -> None:
    from photoorg.evaluate.retrieval import score

    started = time.monotonic()
    folders = class_folders(Path(args.folder).expanduser().resolve())
    loose = [p for p in folders[0].parent.iterdir() if p.is_file()]
    if loose:
        files = "1 file" if len(loose) == 1 else f"{len(loose)} files"
        session.out.note(f"{files} beside the class folders ignored.")
    with TemporaryDirectory(prefix="photoorg-evaluate-") as scratch:
        config = vectors_only(session.config(encoder={"space": args.space}), scratch)
        summary = ingest(config, [str(folder) for folder in folders])
        embedded = read_embedded(config, summary)
    if len(embedded.ids) < 2:
        raise InputError(
            f"{len(embedded.ids)} photos under {args.folder} could be read; it takes two or more.",
            fix="Check the files; `photoorg ingest` and `photoorg rejects` tell what is wrong.",
        )
    labels = [file.relative_to(folders[0].parent).parts[0] for file in embedded.files]
    scores = score(embedded.x_nw, labels, views=embedded.views)
    if args.png:
        from photoorg.evaluate.curves import draw_ranks

        draw_ranks(scores.by_k, Path(args.png).expanduser())
    data = {
        "map_at_10": round(scores.map_at_k, 4),
        "precision_at_10": round(scores.precision_at_k, 4),
        "recall_at_10": round(scores.recall_at_k, 4),
        "ndcg_at_10": round(scores.ndcg_at_k, 4),
        "n": scores.n,
        "queries": scores.queries,
        "classes": len(set(labels)),
        "rejects": summary.rejects,
        "duplicates": summary.duplicates,
        "space": summary.space,
        "png": args.png,
        "seconds": round(time.monotonic() - started, 2),
    }
    session.out.reply(
        data,
        f"mAP@10 {scores.map_at_k:.3f}  recall@10 {scores.recall_at_k:.3f}  "
        f"nDCG@10 {scores.ndcg_at_k:.3f}\n"
        f"{scores.n} photos of {len(set(labels))} classes in {data['seconds']:.1f} s, "
        f"space {summary.space}",
    )


def vectors_only(config: PhotoOrgConfig, folder: str) -> PhotoOrgConfig:
    """The same encoder and limits over an empty store and catalog of its own in `folder`.

    Photos are embedded there, and nothing else.
    """
    data = config.model_dump()
    data["storage"] = {"root": folder}
    data["database"] |= {"url": None, "embedded_dir": None}
    data["ingest"] |= {"stages": ("embed",), "originals": "reference", "part_rows": 128}
    data["faces"] |= {"enabled": False}
    return parse(data)
