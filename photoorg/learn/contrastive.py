"""Train a projection head by InfoNCE: views of one photo draw together, other photos push apart.

Loss after van den Oord, Li, Vinyals, "Representation Learning with Contrastive Predictive Coding"
(2018), in SimCLR's symmetric form (Chen, Kornblith, Norouzi, Hinton, 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.curation_config import TrainConfig
from photoorg.encoders.head import ProjectionHead
from photoorg.errors import EncoderUnavailableError, InputError

Floats = NDArray[np.float32]
FEWEST = 32
SAME_PICTURE = 0.98
"""Photos whose features are closer than this are not held against each other."""


@dataclass(frozen=True, slots=True)
class ViewScores:
    """Instance retrieval over held-out photos: each first view looks for its second.

    With one right answer a query, mAP@k is the mean reciprocal rank cut at k.
    """

    n: int
    k: int
    map_at_k: float
    ndcg_at_k: float


@dataclass(frozen=True, slots=True)
class Trained:
    """The best head seen, with the scores of held-out photos without it and with it."""

    head: ProjectionHead
    before: ViewScores
    after: ViewScores
    epochs: int
    losses: tuple[float, ...]


def train_head(
    a_nd: Floats,
    b_nd: Floats,
    base: str,
    config: TrainConfig,
    *,
    pairs_a: Floats | None = None,
    pairs_b: Floats | None = None,
    progress: Callable[[int, float, float], None] | None = None,
) -> Trained:
    """Learn from two views a photo, `a_nd` and `b_nd` [n, dim], unit-norm, in space `base`.

    `pairs_a` and `pairs_b` [m, dim] are photos that people took for alike: they count as further
    views of one another. A tenth of the photos is held out; the epoch that ranks those best is
    kept, the start (which changes nothing) among the candidates. InputError for too few photos.
    """
    if len(a_nd) < FEWEST:
        raise InputError(
            f"{len(a_nd)} photos are too few to learn from.", fix=f"Give {FEWEST} or more."
        )
    torch = _torch()
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    order = rng.permutation(len(a_nd))
    held, rest = np.split(order, [max(FEWEST // 4, len(order) // 10)])
    a_md, b_md = a_nd[rest], b_nd[rest]
    if pairs_a is not None and pairs_b is not None and len(pairs_a):
        a_md, b_md = np.concatenate([a_md, pairs_a]), np.concatenate([b_md, pairs_b])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    module = _module(torch, a_nd.shape[1], config).to(device)
    optimiser = torch.optim.AdamW(module.parameters(), lr=config.rate, weight_decay=config.decay)
    best = _head(module, base)
    before = score_views(a_nd[held], b_nd[held])
    after = score_views(best(a_nd[held]), best(b_nd[held]))
    losses: list[float] = []
    kept = 0
    for epoch in range(1, config.epochs + 1):
        losses.append(_epoch(torch, module, optimiser, a_md, b_md, config, rng, device))
        head = _head(module, base)
        scores = score_views(head(a_nd[held]), head(b_nd[held]))
        if progress is not None:
            progress(epoch, losses[-1], scores.ndcg_at_k)
        if scores.ndcg_at_k > after.ndcg_at_k:
            best, after, kept = head, scores, epoch
    return Trained(best, before, after, kept, tuple(losses))


def score_views(a_nd: Floats, b_nd: Floats, k: int = 10) -> ViewScores:
    """How well the first views find their second views among all of them."""
    scores_nn = a_nd @ b_nd.T
    own_n = np.diagonal(scores_nn)
    # A tie counts against the query: a head that maps everything to one point finds nothing.
    rank_n = (scores_nn >= own_n[:, None]).sum(axis=1)
    inside = rank_n <= k
    return ViewScores(
        n=len(a_nd),
        k=k,
        map_at_k=float(np.where(inside, 1.0 / rank_n, 0.0).mean()),
        ndcg_at_k=float(np.where(inside, 1.0 / np.log2(rank_n + 1.0), 0.0).mean()),
    )


def _epoch(
    torch: Any,
    module: Any,
    optimiser: Any,
    a_nd: Floats,
    b_nd: Floats,
    config: TrainConfig,
    rng: np.random.Generator,
    device: str,
) -> float:
    """One pass over all pairs in random batches; the mean loss."""
    losses = []
    for rows in _batches(len(a_nd), config.batch, rng):
        a, b = (torch.from_numpy(x[rows]).to(device) for x in (a_nd, b_nd))
        loss = _info_nce(torch, module(a), module(b), a @ a.T > SAME_PICTURE, config.temperature)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return float(np.mean(losses))


def _info_nce(torch: Any, a: Any, b: Any, alike: Any, temperature: float) -> Any:
    """Symmetric cross-entropy of each view's own partner; `alike` pairs are no negatives."""
    own = torch.eye(len(a), dtype=torch.bool, device=a.device)
    logits = (a @ b.T / temperature).masked_fill(alike & ~own, float("-inf"))
    target = torch.arange(len(a), device=a.device)
    loss = torch.nn.functional.cross_entropy
    return (loss(logits, target) + loss(logits.T, target)) / 2


def _batches(n: int, size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    order = rng.permutation(n)
    yield from np.array_split(order, max(1, round(n / size)))


def _module(torch: Any, dim: int, config: TrainConfig) -> Any:
    """A head that starts as it is: the straight path the identity, the bent one zero."""
    out = config.dim or dim

    class Head(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.straight = torch.nn.Parameter(torch.eye(dim, out))
            self.first = torch.nn.Linear(dim, config.hidden)
            self.second = torch.nn.Linear(config.hidden, out, bias=False)
            torch.nn.init.zeros_(self.second.weight)

        def forward(self, x: Any) -> Any:
            bent = self.second(torch.relu(self.first(x)))
            return torch.nn.functional.normalize(x @ self.straight + bent, dim=1)

    return Head()


def _head(module: Any, base: str) -> ProjectionHead:
    def array(values: Any) -> Floats:
        copied: Floats = values.detach().cpu().numpy().astype(np.float32).copy()
        return copied

    return ProjectionHead(
        base,
        array(module.straight),
        array(module.first.weight.T),
        array(module.first.bias),
        array(module.second.weight.T),
    )


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise EncoderUnavailableError(
            "Training needs PyTorch, which is not installed.", fix="pip install photoorg[clip]"
        ) from None
    return torch
