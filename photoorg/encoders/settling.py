"""From "auto" to the one space that a tenant's photos are, or will be, embedded in."""

from __future__ import annotations

from photoorg.config import PhotoOrgConfig
from photoorg.encoders.spaces import choose_spec, list_specs
from photoorg.store.catalog import Catalog, spaces


def settled(config: PhotoOrgConfig, catalog: Catalog) -> PhotoOrgConfig:
    """The configuration with `encoder.space` named, for every worker of a job or application.

    A named space stays. For "auto", photos that are there already decide: a better encoder that
    became available since would not find them. A tenant without photos gets the best to be had.
    """
    if config.encoder.space != "auto":
        return config
    with catalog.tenant(config.tenant) as tx:
        default = spaces.get_default(tx, "image")
    if default is not None and default.name in list_specs():
        name = default.name
    else:
        name = choose_spec(config.encoder, config.models_dir).name
    encoder = config.encoder.model_copy(update={"space": name})
    return config.model_copy(update={"encoder": encoder})
