"""`photoorg evaluate faces`: how well faces are grouped into persons, one folder per person."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from photoorg.cli.parser import Commands
from photoorg.cli.session import Session
from photoorg.config import FacesConfig, PhotoOrgConfig
from photoorg.errors import EncoderUnavailableError, NotFoundError, PhotoOrgError
from photoorg.models import Face

if TYPE_CHECKING:
    from photoorg.encoders.base import FaceEncoder

SMALL_SPACE = "faces-mobilefacenet"


@dataclass(frozen=True, slots=True)
class Found:
    """The main face of each labelled photo: embeddings, qualities, labels; and what had none."""

    x_nd: NDArray[np.float32]
    quality_n: NDArray[np.float32]
    labels: list[str]
    missed: list[str]


def add_to(group: Commands) -> None:
    """Add `evaluate faces`."""
    parser = group.add(
        "faces",
        "group the faces of DIR into persons; a folder is a person",
        "photoorg evaluate faces ~/labelled --space faces-mobilefacenet",
        _faces,
        tenant=False,
    )
    parser.add_argument("folder", metavar="DIR", help="a folder with one folder per person")
    parser.add_argument(
        "--space",
        metavar="FILE",
        help="space file or name (default: the configured one, or faces-mobilefacenet where only"
        " its models are here)",
    )


def main_face(faces: list[Face]) -> Face:
    """The largest face, less so the farther it is from the middle.

    As in preparing LFW for FaceNet (Sandberg, 2017): area minus twice the squared distance.
    """

    def weight(face: Face) -> float:
        x, y, width, height = face.box
        away = (x + width / 2 - 0.5) ** 2 + (y + height / 2 - 0.5) ** 2
        return width * height - 2.0 * away

    return max(faces, key=weight)


def _faces(args: argparse.Namespace, session: Session) -> None:
    from photoorg.curate.constraints import NOBODY, Constraints
    from photoorg.curate.persons import FaceSet, regroup
    from photoorg.evaluate.class_folders import class_folders
    from photoorg.evaluate.clustering import scores

    started = time.monotonic()
    folders = class_folders(Path(args.folder).expanduser().resolve())
    config = session.config(encoder={"faces": args.space}, faces={"enabled": True})
    encoder = _encoder(config, session, given=args.space is not None)
    found = _find(config, encoder, folders)
    if not found.labels:
        raise NotFoundError(
            f"No face was found in the photos under {args.folder}.",
            fix="Check that they show faces; lower faces.min_score for a fainter detector.",
        )
    if found.missed:
        names = ", ".join(found.missed[:5]) + (", ..." if len(found.missed) > 5 else "")
        session.out.note(f"No face in {len(found.missed)} photos: {names}")
    count = len(found.labels)
    grouping = regroup(
        FaceSet(found.x_nd, found.quality_n, np.arange(count), np.full(count, NOBODY)),
        Constraints(),
        config.people,
    )
    predicted = [None if p == NOBODY else int(p) for p in grouping.person_n]
    scored = scores(found.labels, predicted)
    persons = {p for p in predicted if p is not None}
    data = {
        "nmi": round(scored.nmi, 4),
        "ari": round(scored.ari, 4),
        "purity": round(scored.purity, 4),
        "pairwise_f1": round(scored.pairwise_f1, 4),
        "pairwise_precision": round(scored.pairwise_precision, 4),
        "pairwise_recall": round(scored.pairwise_recall, 4),
        "clusters": len(persons),
        "unassigned": predicted.count(None),
        "persons": len(set(found.labels)),
        "n": count,
        "missed": len(found.missed),
        "space": encoder.space.id,
        "seconds": round(time.monotonic() - started, 2),
    }
    session.out.reply(
        data,
        f"NMI {scored.nmi:.3f}  ARI {scored.ari:.3f}  purity {scored.purity:.3f}  "
        f"pairwise F1 {scored.pairwise_f1:.3f}\n"
        f"{len(persons)} clusters of {count} faces of {data['persons']} persons, "
        f"{data['unassigned']} unassigned, {data['missed']} photos without a face, "
        f"space {encoder.space.id}, {data['seconds']:.1f} s",
    )


def _encoder(config: PhotoOrgConfig, session: Session, *, given: bool) -> FaceEncoder:
    from photoorg.encoders.spaces import open_face_encoder

    faces = FacesConfig(enabled=True, min_score=config.faces.min_score)
    try:
        return open_face_encoder(config.encoder, config.models_dir, faces=faces)
    except EncoderUnavailableError as error:
        if given or config.encoder.faces == SMALL_SPACE:
            raise
        small = config.encoder.model_copy(update={"faces": SMALL_SPACE})
        try:
            encoder = open_face_encoder(small, config.models_dir, faces=faces)
        except EncoderUnavailableError:
            raise error from None
        session.out.note(f"{config.encoder.faces} is not here; using {SMALL_SPACE}.")
        return encoder


def _find(config: PhotoOrgConfig, encoder: FaceEncoder, folders: list[Path]) -> Found:
    from photoorg.imaging.guard import GuardedDecoder

    imaging = config.imaging
    x, quality, labels, missed = [], [], [], []
    with GuardedDecoder(imaging) as decoder:
        for label, file in _files(folders):
            try:
                data = file.read_bytes()
                picture = decoder.decode(
                    data, short_side=imaging.short_side, long_side=imaging.faces_long_side
                )
                faces = encoder.detect(picture.rgb)
            except (PhotoOrgError, OSError):  # the end of a row: what cannot be read has no face
                faces = []
            if not faces:
                missed.append(f"{label}/{file.name}")
                continue
            face = main_face(faces)
            x.append(face.embedding)
            quality.append(face.quality)
            labels.append(label)
    x_nd = np.asarray(x, np.float32).reshape(len(x), encoder.space.dim)
    return Found(x_nd, np.asarray(quality, np.float32), labels, missed)


def _files(folders: list[Path]) -> Iterator[tuple[str, Path]]:
    for folder in folders:
        files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name[0] != ".")
        for file in files:
            yield folder.name, file
