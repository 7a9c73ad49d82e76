"""How an ingest is laid out on the machines there are; refused in a sentence when it cannot run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from photoorg.config import IngestConfig, PhotoOrgConfig
from photoorg.errors import ResourceError


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """Workers and their shares.

    `fused` runs every stage in one actor per worker. `split` decodes in CPU tasks and runs models
    in actors of their own, which pays where a GPU outruns a core. `here` needs no cluster.
    `threads` is the number of compute threads per worker; `part_rows` the files of one part.
    """

    layout: Literal["fused", "split", "here"]
    workers: int
    worker_cpus: float
    worker_gpus: float
    decode_workers: int
    decode_cpus: float
    threads: int
    part_rows: int


def plan_ingest(config: IngestConfig, *, cpus: float, gpus: float, models: bool) -> IngestPlan:
    """Choose the layout for a cluster of `cpus` and `gpus`; ResourceError when it would hang.

    One logical CPU stays free for Ray Data's own tasks: actors that take every CPU leave none to
    read the key manifest, and the job waits for ever. `models` says whether any stage uses one.
    """
    if cpus < 1:
        raise ResourceError(
            f"The Ray cluster has {cpus:g} CPUs; ingest needs at least 1.",
            fix="Start a node with CPUs, or pass --num-cpus to `ray start`.",
        )
    layout = config.layout
    if layout == "auto":
        layout = "split" if gpus >= 1 and models else "fused"
    plan = _split(config, cpus, gpus) if layout == "split" else _fused(config, cpus)
    _check(plan, cpus, gpus)
    return plan


def runs_here(config: IngestConfig, files: int, *, cluster: bool) -> bool:
    """Whether so few files are done in this process before Ray would have started.

    Not where there is a `cluster` to join, nor where the configuration says how to use one.
    """
    chosen = (config.workers, config.worker_cpus, config.worker_gpus)
    auto = config.layout == "auto" and chosen == (None, None, None)
    return auto and not cluster and files < config.here_below


def plan_here(config: IngestConfig) -> IngestPlan:
    """Everything in one process; parts are small, so that a killed job loses little."""
    return IngestPlan(
        layout="here",
        workers=1,
        worker_cpus=0.0,
        worker_gpus=0.0,
        decode_workers=0,
        decode_cpus=0.0,
        threads=0,
        part_rows=min(config.part_rows, config.micro_batch),
    )


def with_threads(config: PhotoOrgConfig, plan: IngestPlan) -> PhotoOrgConfig:
    """The configuration with the plan's compute threads for encoders, where it names none."""
    threads = config.encoder.threads or plan.threads
    encoder = config.encoder.model_copy(update={"threads": threads})
    return config.model_copy(update={"encoder": encoder})


def _fused(config: IngestConfig, cpus: float) -> IngestPlan:
    workers = config.workers or max(1, int(cpus))
    share = config.worker_cpus or _floor((cpus - 1) / workers if cpus > 1 else 0.5)
    return IngestPlan(
        layout="fused",
        workers=workers,
        worker_cpus=share,
        worker_gpus=config.worker_gpus or 0.0,
        decode_workers=0,
        decode_cpus=0.0,
        threads=max(1, int(cpus) // workers),
        part_rows=config.part_rows,
    )


def _split(config: IngestConfig, cpus: float, gpus: float) -> IngestPlan:
    if cpus < 2:
        raise ResourceError(
            f"The split layout needs 2 CPUs, one of them for reading; the cluster has {cpus:g}.",
            fix="Set ingest.layout to fused, or add CPUs.",
        )
    workers = config.workers or max(1, int(gpus))
    share = config.worker_cpus or min(1.0, _floor((cpus - 1) / 2 / workers))
    left = cpus - 1 - workers * share
    decoders = max(1, int(left))
    device = 1.0 if gpus >= 1 else 0.0
    return IngestPlan(
        layout="split",
        workers=workers,
        worker_cpus=share,
        worker_gpus=config.worker_gpus if config.worker_gpus is not None else device,
        decode_workers=decoders,
        decode_cpus=min(1.0, _floor(left / decoders)),
        threads=1,
        # A part's pixels travel between processes as one block: keep it near 100 MB.
        part_rows=min(config.part_rows, 128),
    )


def _check(plan: IngestPlan, cpus: float, gpus: float) -> None:
    needed = plan.workers * plan.worker_cpus + plan.decode_workers * plan.decode_cpus
    free = min(1.0, cpus / 2)
    if needed + free > cpus + 1e-6:
        raise ResourceError(
            f"The plan takes {needed:g} CPUs for {plan.workers + plan.decode_workers} workers and "
            f"{free:g} must stay free for reading, but the cluster has {cpus:g}: it would wait for "
            "ever.",
            fix="Lower ingest.workers or ingest.worker_cpus, or add CPUs.",
        )
    if plan.workers * plan.worker_gpus > gpus + 1e-6:
        raise ResourceError(
            f"The plan asks for {plan.workers} workers of {plan.worker_gpus:g} GPUs, but the "
            f"cluster has {gpus:g}.",
            fix="Lower ingest.workers or ingest.worker_gpus, or add GPU nodes.",
        )


def _floor(value: float) -> float:
    return max(0.01, math.floor(value * 100) / 100)
