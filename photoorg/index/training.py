"""Learning one set of quantizers per version, shared by all its shards."""

from __future__ import annotations

import time
from dataclasses import dataclass

from photoorg.errors import InputError
from photoorg.index import faiss_io, gpu
from photoorg.index.base import FloatMatrix, Index, PhotoKeys
from photoorg.index.flat import FlatIndex
from photoorg.index.ivfpq import IvfPqIndex
from photoorg.index.planning import IndexPlan
from photoorg.index.rescore import train_codec
from photoorg.index.sample import Sample


@dataclass(frozen=True, slots=True)
class Trained:
    """What every shard of a version is made from; a few megabytes that pickle.

    `index` is the empty trained index (no bytes for flat kinds), `codec` the empty re-score codec.
    `probe_keys` [m, 32] and `probes_md` are photos that were not learned from: what the effort is
    calibrated with.
    """

    plan: IndexPlan
    index: bytes
    codec: bytes
    probe_keys: PhotoKeys
    probes_md: FloatMatrix
    seconds: float

    def empty(self) -> Index:
        """A new index to add vectors to."""
        if self.plan.kind == "flat":
            return FlatIndex(self.plan.dim, self.plan.factory)
        return IvfPqIndex.from_bytes(self.index)


def train_version(sample: Sample, plan: IndexPlan) -> Trained:
    """Train on a sample of plan.sample_rows photos; the first plan.probe_rows are held out.

    Of photos held out the full view is the query, as that of a photo would be.

    Runs on the GPU where plan.use_gpu allows it; the result is a CPU index either way.
    """
    faiss_io.use_threads(plan.threads)
    started = time.perf_counter()
    x_nd = sample.x_nd
    if x_nd.shape[1] != plan.dim:
        raise InputError(f"The sample has {x_nd.shape[1]} dimensions, the plan {plan.dim}.")
    held = min(plan.probe_rows, len(sample))
    first = held * plan.views
    learn_nd = x_nd[first : first + plan.train_rows] if plan.train_rows else x_nd
    index = b""
    if plan.kind == "ivfpq":
        if len(learn_nd) < plan.nlist:
            raise InputError(
                f"{len(learn_nd)} training vectors are too few for {plan.nlist} lists.",
                fix="Draw a sample of plan.sample_rows vectors.",
            )
        learner = IvfPqIndex(plan.dim, plan.factory, use_gpu=gpu.wanted(plan.use_gpu))
        learner.train(learn_nd)
        index = learner.to_bytes()
    codec = train_codec("fp16" if plan.kind == "flat" else plan.rescore, x_nd)
    seconds = time.perf_counter() - started
    return Trained(plan, index, codec, sample.keys[:held], x_nd[: first : plan.views], seconds)
