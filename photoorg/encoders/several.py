"""Encoders by the space they embed in: several at once while a library moves between two."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from photoorg.config import EncoderConfig
from photoorg.encoders.base import Encoder
from photoorg.encoders.spaces import list_specs, open_encoder, spec_name
from photoorg.errors import EncoderUnavailableError, PhotoOrgError
from photoorg.space import EmbeddingSpace

Open = Callable[[EncoderConfig, str], Encoder]


class SpaceEncoders:
    """Opens the encoder of a space once and keeps it; safe to ask from several threads.

    Looks among the spaces shipped or in configs/spaces, and the files named in `names`.
    """

    def __init__(
        self,
        config: EncoderConfig,
        models_dir: str,
        names: Sequence[str] = (),
        *,
        open_one: Open = open_encoder,
    ) -> None:
        self._config = config
        self._models_dir = models_dir
        self._names = tuple(names)
        self._open = open_one
        self._lock = threading.Lock()
        self._opened: dict[str, Encoder] = {}

    def opened(self, space_id: str) -> Encoder | None:
        """The space's encoder if it is open already."""
        return self._opened.get(space_id)

    def keep(self, encoder: Encoder) -> None:
        """Use an encoder that was opened elsewhere."""
        self._opened.setdefault(encoder.space.id, encoder)

    def of(self, space: EmbeddingSpace) -> Encoder:
        """The space's encoder, opened if it is not yet.

        EncoderUnavailableError if no space file here describes it, or its weights are not here.
        """
        with self._lock:
            found = self._opened.get(space.id)
            if found is None:
                found = self._opened[space.id] = self._first(space)
            return found

    def _first(self, space: EmbeddingSpace) -> Encoder:
        why = "no space file here has that name"
        for name in self._candidates(space):
            config = self._config.model_copy(update={"space": name})
            try:
                encoder = self._open(config, self._models_dir)
            except PhotoOrgError as error:
                why = str(error)
                continue
            if encoder.space.id == space.id:
                return encoder
            why = f"{name} now describes {encoder.space.id}"
        raise EncoderUnavailableError(
            f"Nothing here can embed in space {space.id}: {why}.",
            fix="Name its file in `migration.spaces`, and put its weights into models_dir.",
        )

    def _candidates(self, space: EmbeddingSpace) -> list[str]:
        named = [self._config.space, *self._names]
        files = [n for n in named if n != "auto" and spec_name(n) == space.name]
        shipped = [space.name] if space.name in list_specs() else []
        return list(dict.fromkeys([*files, *shipped]))
