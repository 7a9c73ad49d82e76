"""The demonstration's view of the HTTP API: what any program outside would write."""

from __future__ import annotations

import io
import json
import time
from dataclasses import dataclass
from typing import Any

import httpx
from PIL import Image

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Answer:
    """Results of one search, best first, and how long the caller waited."""

    results: list[dict[str, Any]]
    milliseconds: float

    @property
    def top(self) -> dict[str, Any]:
        """The best result; an empty one if nothing was found."""
        return self.results[0] if self.results else {"photo_id": "", "uri": "", "score": 0.0}


class Client:
    """Searches, uploads and thumbnails of one server; httpx.HTTPStatusError for its errors."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=60.0, trust_env=False)

    def by_image(self, image: bytes, *, k: int, box: Box | None = None) -> Answer:
        """Photos that look like the image, or like a box (left, top, width, height) of it."""
        form = {"top_k": str(k)}
        if box is not None:
            form["bbox"] = json.dumps(dict(zip(("x", "y", "width", "height"), box, strict=True)))
        return self._ask("POST", "/v1/search", data=form, files={"image": ("query.jpg", image)})

    def similar(self, photo_id: str, *, k: int) -> Answer:
        """Photos that look like one of the library."""
        return self._ask("GET", f"/v1/photos/{photo_id}/similar", params={"top_k": k})

    def by_text(self, text: str, *, k: int) -> Answer:
        """Photos that show what the text says."""
        return self._ask("GET", "/v1/search", params={"q": text, "top_k": k})

    def upload(self, image: bytes, name: str) -> str:
        """Add a photo; its id. The photo is safe, and searchable a little later."""
        answer = self._http.post("/v1/photos", files={"file": (name, image, "image/jpeg")})
        return str(answer.raise_for_status().json()["photo_id"])

    def thumbnail(self, photo_id: str) -> Image.Image:
        """The photo's thumbnail."""
        answer = self._http.get(f"/v1/photos/{photo_id}/thumbnail").raise_for_status()
        return Image.open(io.BytesIO(answer.content))

    def _ask(self, method: str, path: str, **request: Any) -> Answer:
        started = time.perf_counter()
        answer = self._http.request(method, path, **request).raise_for_status()
        waited = (time.perf_counter() - started) * 1000
        return Answer(answer.json()["results"], waited)
