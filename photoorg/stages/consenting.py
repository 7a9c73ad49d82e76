"""Faces only where they were agreed to: the configuration as consent leaves it."""

from __future__ import annotations

import logging

from photoorg.config import PhotoOrgConfig
from photoorg.store.catalog import Catalog, consent

log = logging.getLogger(__name__)


def consented(config: PhotoOrgConfig, catalog: Catalog) -> PhotoOrgConfig:
    """The configuration with faces switched off unless tenant and user (people.user) agreed.

    The catalog refuses faces without consent in any case; this spares computing them.
    """
    if not config.faces.enabled:
        return config
    with catalog.tenant(config.tenant) as tx:
        if consent.agreed(tx, config.people.user):
            return config
    log.warning(
        "Faces are not read: %s did not agree to it yet (`photoorg people enable`).",
        config.people.user,
    )
    return without_faces(config)


def without_faces(config: PhotoOrgConfig) -> PhotoOrgConfig:
    """The same configuration with faces switched off."""
    faces = config.faces.model_copy(update={"enabled": False})
    return config.model_copy(update={"faces": faces})
