"""Names to implementations, imported only when asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from photoorg.errors import ConfigError

ENCODERS: Mapping[str, str] = {
    "openclip": "photoorg.encoders.openclip:OpenClipEncoder",
    "onnx": "photoorg.encoders.onnx:OnnxEncoder",
    "builtin": "photoorg.encoders.builtin:BuiltinEncoder",
    "projected": "photoorg.encoders.projected:ProjectedEncoder",
}
FACE_ENCODERS: Mapping[str, str] = {
    "insightface": "photoorg.encoders.faces:InsightFaceEncoder",
}
TEXT_READERS: Mapping[str, str] = {
    "rapidocr": "photoorg.encoders.ocr:RapidOcrReader",
}
NSFW_SCORERS: Mapping[str, str] = {
    "nudenet": "photoorg.encoders.nsfw:NudeNetScorer",
}
INDEXES: Mapping[str, str] = {
    "flat": "photoorg.index.flat:FlatIndex",
    "ivfpq": "photoorg.index.ivfpq:IvfPqIndex",
}


def load(target: str) -> Any:
    """Import "module:attribute" and return the attribute."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def resolve(table: Mapping[str, str], name: str, what: str) -> Any:
    """The implementation called `name`, or ConfigError listing the names there are."""
    if name not in table:
        known = ", ".join(sorted(table))
        raise ConfigError(f"There is no {what} called {name!r}.", fix=f"Known: {known}.")
    return load(table[name])
