"""Image preprocessing with torch on the encoder's device, from uint8, as open_clip does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from photoorg.models import Rgb

VERSION = 1
_LONGEST_RATIO = 8
"""Strips longer than this are cropped before they are resized: only the centre is used anyway."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """Resize, crop or pad, scale to 0..1 and normalise.

    `mode` is open_clip's resize_mode: shortest (then crop the centre), longest (then pad with
    `fill`) or squash. Interpolation is antialiased; on the CPU it is integer arithmetic that
    agrees with Pillow's within one level, on other devices float rounded to whole levels.
    """

    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Literal["bicubic", "bilinear"]
    mode: Literal["shortest", "longest", "squash"]
    fill: int = 0

    @classmethod
    def from_open_clip(cls, config: Mapping[str, Any]) -> Pixels:
        """From an open_clip preprocess configuration."""
        size = config["size"]
        height, width = (size, size) if isinstance(size, int) else tuple(size)[-2:]
        return cls(
            height=height,
            width=width,
            mean=tuple(float(v) for v in config["mean"]),
            std=tuple(float(v) for v in config["std"]),
            interpolation="bilinear" if config["interpolation"] == "bilinear" else "bicubic",
            mode=config["resize_mode"],
            fill=config.get("fill_color") or 0,
        )

    @property
    def description(self) -> str:
        """What a space records: two spaces with equal descriptions prepare pixels alike."""
        mean = ",".join(f"{v:.6g}" for v in self.mean)
        std = ",".join(f"{v:.6g}" for v in self.std)
        size = f"{self.width}x{self.height}"
        return f"v{VERSION} {self.mode} {self.interpolation} {size} fill={self.fill} {mean} {std}"

    def prepare(self, images: Sequence[Rgb], device: Any) -> Any:
        """A float32 tensor [n, 3, height, width] on `device`; images of one size go together."""
        import torch

        batch = torch.empty(
            (len(images), 3, self.height, self.width), dtype=torch.float32, device=device
        )
        for rows in _by_shape(images):
            stack = torch.from_numpy(np.stack([self._strip(images[row]) for row in rows]))
            batch[rows] = self._fit(stack.to(device).permute(0, 3, 1, 2)).float()
        mean = torch.tensor(self.mean, device=device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=device).view(1, 3, 1, 1)
        return batch.div_(255.0).sub_(mean).div_(std)

    def _strip(self, image: Rgb) -> Rgb:
        height, width = image.shape[:2]
        limit = min(height, width) * _LONGEST_RATIO
        if self.mode != "shortest" or max(height, width) <= limit:
            return image
        top, left = max(0, (height - limit) // 2), max(0, (width - limit) // 2)
        return image[top : top + limit, left : left + limit]

    def _fit(self, images: Any) -> Any:
        height, width = images.shape[-2:]
        if self.mode == "squash":
            return self._resize(images, self.height, self.width)
        ratios = height / self.height, width / self.width
        if self.mode == "longest":
            scale = max(ratios)
            fitted = self._resize(
                images, max(1, round(height / scale)), max(1, round(width / scale))
            )
            return self._pad(fitted)
        short = min(ratios)  # truncated as torchvision does, which can lose a pixel
        new_height = self.height if ratios[0] == short else int(self.width * height / width)
        new_width = self.width if ratios[1] == short else int(self.height * width / height)
        return self._crop(self._resize(images, new_height, new_width))

    def _resize(self, images: Any, height: int, width: int) -> Any:
        import torch

        if tuple(images.shape[-2:]) == (height, width):
            return images
        whole = images.device.type == "cpu"
        resized = torch.nn.functional.interpolate(
            images if whole else images.float(),
            size=(height, width),
            mode=self.interpolation,
            antialias=True,
        )
        return resized if whole else resized.round_().clamp_(0, 255)

    def _crop(self, images: Any) -> Any:
        height, width = images.shape[-2:]
        top = round((height - self.height) / 2)
        left = round((width - self.width) / 2)
        return images[..., top : top + self.height, left : left + self.width]

    def _pad(self, images: Any) -> Any:
        import torch

        missing_y = self.height - images.shape[-2]
        missing_x = self.width - images.shape[-1]
        sides = (missing_x // 2, missing_x - missing_x // 2)
        ends = (missing_y // 2, missing_y - missing_y // 2)
        return torch.nn.functional.pad(images, (*sides, *ends), value=self.fill)


def _by_shape(images: Sequence[Rgb]) -> list[list[int]]:
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, image in enumerate(images):
        groups.setdefault(image.shape, []).append(row)
    return list(groups.values())
