"""The one space that a tenant's photos are, or will be, embedded in."""

from __future__ import annotations

import logging

from photoorg.config import PhotoOrgConfig
from photoorg.encoders.spaces import choose_spec, list_specs, spec_name
from photoorg.store.catalog import Catalog, indexes, spaces

log = logging.getLogger(__name__)


def settled(config: PhotoOrgConfig, catalog: Catalog) -> PhotoOrgConfig:
    """The configuration with `encoder.space` named, for every worker of a job or application.

    A library that is searched in one space stays there, whatever the configuration names: photos
    embedded in another would not be found. `photoorg reembed` moves it. Before it has an index a
    named space counts; for "auto", photos that are there decide, and without any the best to be
    had is taken.
    """
    named = config.encoder.space
    with catalog.tenant(config.tenant) as tx:
        default = spaces.get_default(tx, "image")
        searched = default is not None and indexes.active(tx, default.id) is not None
    if named != "auto" and (not searched or default is None or spec_name(named) == default.name):
        return config
    files = [*config.migration.spaces, *list_specs()]
    found = next((f for f in files if default is not None and spec_name(f) == default.name), None)
    if found is None:
        if named != "auto":
            return config
        found = choose_spec(config.encoder, config.models_dir).name
    elif named != "auto":
        log.warning(
            "New photos are embedded in %s, which the library is searched in; encoder.space names "
            "%s. `photoorg reembed --space %s` moves the library there.",
            found,
            named,
            named,
        )
    encoder = config.encoder.model_copy(update={"space": found})
    migration = config.migration
    if named not in ("auto", *migration.spaces):
        # A space that it may be about to move to.
        migration = migration.model_copy(update={"spaces": (*migration.spaces, named)})
    return config.model_copy(update={"encoder": encoder, "migration": migration})
