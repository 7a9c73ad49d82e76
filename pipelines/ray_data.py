"""The one place that knows how a stage becomes a Ray Data operator.

Ray reads its settings when it is imported, so it is imported only after they are made.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from photoorg import local_ray
from photoorg.errors import PhotoOrgError, ResourceError

if TYPE_CHECKING:
    from ray.data import Dataset


@dataclass(frozen=True, slots=True)
class Pool:
    """An actor pool: how many, each one's share of CPUs and GPUs, and how many blocks one holds.

    With one block `held` an actor that is ready first does not take the part of one that still
    starts; with two the next block's pixels arrive while the device works on this one's.
    """

    size: int
    cpus: float
    gpus: float = 0.0
    held: int = 1


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the Ray cluster offers."""

    cpus: float
    gpus: float

    def workers(self, tasks: int) -> Pool:
        """A worker a task, as far as the CPUs go; one CPU stays free for Ray Data's own tasks."""
        size = max(1, min(tasks, int(self.cpus) - 1))
        return Pool(size, min(1.0, (self.cpus - 1) / size))


def connect() -> Cluster:
    """Join the cluster RAY_ADDRESS names, or start Ray on this machine with one CPU a core.

    ResourceError if no cluster answers, or Ray cannot be started here.
    """
    local_ray.prepare()
    import ray

    if not ray.is_initialized():
        local_ray.connect(ray.init, ray.shutdown, cpus=max(2, os.cpu_count() or 2))
    offered = ray.cluster_resources()
    return Cluster(offered.get("CPU", 0.0), offered.get("GPU", 0.0))


def numbers(values: Sequence[int]) -> Dataset:
    """A dataset with one block per number, in a column `part`."""
    from ray.data import DataContext, from_items

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = False
    # A part must stay one block from its keys to its commit, however many pixels it holds.
    context.target_max_block_size = None
    logging.getLogger("ray.data._internal").setLevel(logging.ERROR)
    return from_items([{"part": n} for n in values], override_num_blocks=len(values))


def through(
    dataset: Dataset,
    stage: type | Callable[..., pa.Table],
    arguments: Mapping[str, Any],
    pool: Pool | float,
) -> Dataset:
    """Send whole blocks through a stage class in an actor pool, or a function in tasks.

    `pool` is a Pool for a class (built from `arguments` once per actor) or the CPUs of one task for
    a function (called with `arguments` each time).
    """
    from ray.data import ActorPoolStrategy

    if isinstance(pool, Pool):
        return dataset.map_batches(
            stage,
            batch_size=None,
            batch_format="pyarrow",
            zero_copy_batch=True,
            fn_constructor_kwargs=dict(arguments),
            compute=ActorPoolStrategy(size=pool.size, max_tasks_in_flight_per_actor=pool.held),
            num_cpus=pool.cpus,
            num_gpus=pool.gpus or None,
        )
    return dataset.map_batches(
        stage,
        batch_size=None,
        batch_format="pyarrow",
        zero_copy_batch=True,
        fn_kwargs=dict(arguments),
        num_cpus=pool,
    )


def stream(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Rows as they come out of the last stage, in no particular order.

    What a worker raised comes out as the PhotoOrgError it was; anything else as ResourceError.
    """
    from ray.exceptions import RayError

    try:
        yield from dataset.iter_rows()
    except RayError as error:
        raise _explained(error) from error


def _explained(error: BaseException) -> PhotoOrgError:
    seen: BaseException | None = error
    while seen is not None:
        cause = getattr(seen, "cause", None) or seen.__cause__
        if isinstance(cause, PhotoOrgError):
            return cause
        seen = cause
    told = [line for line in str(error).splitlines() if line.strip()]
    return ResourceError(
        f"A worker of the job failed: {told[-1].strip() if told else type(error).__name__}.",
        fix="Start the job again: it goes on after the last committed part.",
        retryable=True,
    )
