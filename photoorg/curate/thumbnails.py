"""Small pictures of photos, from the thumbnails in the store."""

from __future__ import annotations

import io
import logging

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from photoorg.errors import PhotoOrgError
from photoorg.store.layout import thumb_path
from photoorg.store.objects import ObjectStore

log = logging.getLogger(__name__)


class Thumbnails:
    """Reads thumbnails as luminance or colours; a photo without a readable one has none."""

    def __init__(self, store: ObjectStore, tenant: str) -> None:
        self._store = store
        self._tenant = tenant

    def gray(self, photo_id: str) -> NDArray[np.uint8] | None:
        """[height, width], 0..255, or None."""
        return self._read(photo_id, "L")

    def rgb(self, photo_id: str) -> NDArray[np.uint8] | None:
        """[height, width, 3], 0..255, or None."""
        return self._read(photo_id, "RGB")

    def _read(self, photo_id: str, mode: str) -> NDArray[np.uint8] | None:
        try:
            data = self._store.read(thumb_path(self._tenant, photo_id))
            with Image.open(io.BytesIO(data)) as image:
                return np.asarray(image.convert(mode))
        except (PhotoOrgError, OSError, ValueError) as error:
            log.debug("no thumbnail of %s: %s", photo_id, error)
            return None
