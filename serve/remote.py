"""Remote: a Ray Serve handle that looks like the object it stands for."""

from __future__ import annotations

from typing import Any

from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from photoorg.errors import OverloadedError, PhotoOrgError
from photoorg.space import EmbeddingSpace


class Remote:
    """`await remote.method(...)` calls the deployment's method.

    The caller sees the errors the object itself raises; a full queue is OverloadedError. Cancelling
    the call cancels it there. `space` is that of the deployment's encoder, known before.
    """

    def __init__(self, handle: DeploymentHandle[Any], space: EmbeddingSpace | None = None) -> None:
        self._handle = handle
        self.space = space

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Method(getattr(self._handle, name))


class _Method:
    def __init__(self, method: Any) -> None:
        self._method = method

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await self._method.remote(*args, **kwargs)
        except RayTaskError as error:
            if isinstance(error.cause, PhotoOrgError):
                raise error.cause from None
            raise
        except BackPressureError:
            raise OverloadedError("Too many requests wait already.", fix="Try again.") from None
        except RayActorError:
            raise OverloadedError(
                "A part of the service is being restarted.", fix="Try again."
            ) from None
