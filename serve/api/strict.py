"""Names nobody reads are errors: a filter that is misspelt must not find everything."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute

from photoorg.errors import InputError


async def known_parameters(request: Request) -> None:
    """InputError if the query string names a parameter that the operation does not have."""
    if not request.scope["query_string"]:
        return
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    params = get_flat_params(route.dependant)
    known = [param.alias for param in params if isinstance(param.field_info, Query)]
    require_known(request.query_params, known, "parameter")


def require_known(given: Iterable[str], known: Collection[str], kind: str) -> None:
    """InputError for the first name that is not known, with all that are; `kind` says of what."""
    for name in given:
        if name not in known:
            names = ", ".join(sorted(known))
            raise InputError(
                f"There is no {kind} {name!r} here.",
                fix=f"Choose from {names}." if names else f"Leave it out: there is no {kind} here.",
            )
