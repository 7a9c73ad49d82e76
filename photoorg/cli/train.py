"""`photoorg train`: spaces learnt from the library's own photos."""

from __future__ import annotations

import argparse
from typing import Any

from photoorg.cli.parser import Commands
from photoorg.cli.session import Session
from photoorg.registry import load


def add_to(commands: Commands) -> None:
    """Add `train projection`."""
    group = commands.group(
        "train", "learn from the library's own photos", "photoorg train projection --name mine"
    )
    parser = group.add(
        "projection",
        "train a projection over a frozen encoder into a new space",
        "photoorg train projection --name mine --photos 5000",
        _projection,
    )
    parser.add_argument("--name", required=True, help="what the new space is called")
    parser.add_argument("--space", metavar="FILE", help="space to stand on (default: configured)")
    parser.add_argument("--photos", type=int, metavar="N", help="photos to learn from at most")
    parser.add_argument("--epochs", type=int, metavar="N", help="passes over them")


def _projection(args: argparse.Namespace, session: Session) -> None:
    config = session.config(
        encoder={"space": args.space}, train={"photos": args.photos, "epochs": args.epochs}
    )

    def progress(epoch: int, loss: float, ndcg: float) -> None:
        session.out.note(f"epoch {epoch}: loss {loss:.3f}, held-out nDCG@10 {ndcg:.4f}")

    result: dict[str, Any] = load("pipelines.train_projection:run")(
        config, name=args.name, progress=progress
    )
    session.out.reply(
        result,
        f"nDCG@10 {result['ndcg_at_10_before']:.3f} -> {result['ndcg_at_10_after']:.3f}, "
        f"mAP@10 {result['map_at_10_before']:.3f} -> {result['map_at_10_after']:.3f} on "
        f"{result['held_out']} held-out photos\n"
        f"space {result['space']}: use it with --space {result['file']}",
    )
