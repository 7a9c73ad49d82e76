"""What a command works with: its output, and the configuration the options name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from photoorg.cli.output import Output
from photoorg.config import PhotoOrgConfig, load, parse


@dataclass(frozen=True, slots=True)
class Session:
    """Output and configuration of one command."""

    out: Output
    config_path: str | None = None
    tenant: str | None = None

    def config(self, **sections: dict[str, Any]) -> PhotoOrgConfig:
        """The configuration, with the values of `sections` laid over it; ConfigError if wrong."""
        config = load(self.config_path)
        return override(config, tenant=self.tenant, **sections)


def override(config: PhotoOrgConfig, **changes: Any) -> PhotoOrgConfig:
    """`config` with changes (None: leave; a dict: keys of that section), checked again."""
    data = config.model_dump()
    for name, value in changes.items():
        if isinstance(value, dict):
            data[name] |= {k: v for k, v in value.items() if v is not None}
        elif value is not None:
            data[name] = value
    return parse(data)


@contextmanager
def running_database(config: PhotoOrgConfig) -> Iterator[PhotoOrgConfig]:
    """The configuration with the URL of a running database, for as long as the block lasts.

    The steps of one command then share one embedded PostgreSQL instead of starting it in turn.
    """
    from photoorg.store.embedded import database_url

    with database_url(config) as url:
        yield override(config, database={"url": url})
