"""Pauses between photos: which part events and which do not."""

from __future__ import annotations

import numpy as np

from photoorg.curate.timeline import Floats
from photoorg.curation_config import EventsConfig

LOCAL = 10
LOG_PLATT = float(np.log(17.0))
KERNEL = 0.25


def valley(gaps: Floats, config: EventsConfig) -> float:
    """Seconds of the pause that fewest pauses are like, between the configured limits.

    Where pauses leave a wide empty range, the configured usual pause decides inside it.
    """
    low, high = log_limits(config)
    grid = np.linspace(low, high, 96)
    logs = np.log(gaps[gaps > config.min_gap_minutes * 15])
    usual = np.log(config.usual_gap_hours * 3600)
    if not len(logs):
        return float(np.exp(np.clip(usual, low, high)))
    edges = np.linspace(low - 2, high + 3, 400)
    counts = np.histogram(logs, edges)[0]
    centres = (edges[1:] + edges[:-1]) / 2
    kernel = np.exp(-0.5 * ((grid[:, None] - centres) / KERNEL) ** 2)
    drawn = 0.02 * np.sqrt(len(logs)) * (grid - usual) ** 2
    return float(np.exp(grid[np.argmin(kernel @ counts + drawn)]))


def local_limit(logs: Floats, config: EventsConfig) -> Floats:
    """The log pause that is 17 times the local (geometric) mean, inside the configured limits.

    Pauses shorter than 15 s count as 15 s.
    """
    mean = local_mean(np.maximum(logs, np.log(15.0)))
    return np.asarray(np.clip(mean + LOG_PLATT, *log_limits(config)))


def local_mean(values: Floats) -> Floats:
    """The mean over ten values on either side and the value itself, fewer at the ends."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    first, last = np.maximum(at - LOCAL, 0), np.minimum(at + LOCAL + 1, len(values))
    return np.asarray((sums[last] - sums[first]) / (last - first))


def log_limits(config: EventsConfig) -> tuple[float, float]:
    """The shortest and longest pause that may part events, as logs of seconds."""
    return float(np.log(config.min_gap_minutes * 60)), float(np.log(config.max_gap_hours * 3600))
