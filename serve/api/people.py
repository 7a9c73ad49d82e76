"""/v1/people: persons, their faces, and putting them right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from photoorg.store.catalog import Transaction, faces_of_people, people
from serve.api.paging import Cursor, Limit
from serve.api.people_models import (
    FacePage,
    FacesBody,
    FaceView,
    MergeBody,
    MergePage,
    MergeView,
    NewPersonBody,
    PairBody,
    PersonPage,
    PersonPatch,
    PersonView,
    Removed,
    SuggestionPage,
    SuggestionView,
)
from serve.auth import TenantOf, actor_of
from serve.organised import Organised
from serve.problems import responses

Id = Annotated[int, Path(ge=1, le=2**63 - 1)]


def people_router(organised: Organised, tenant_of: TenantOf) -> APIRouter:
    """Routes under /v1/people."""
    router = APIRouter(prefix="/v1/people", tags=["people"])
    tenant_dep, actor_dep = Depends(tenant_of), Depends(actor_of)

    @router.get(
        "",
        summary="List persons, those with most faces first",
        response_model=PersonPage,
        responses=responses(422, 503),
    )
    async def page(
        tenant: str = tenant_dep,
        cursor: Cursor = None,
        limit: Limit = 50,
        hidden: Annotated[bool, Query(description="Hidden persons too.")] = False,
    ) -> PersonPage:
        """Follow next_cursor until it is null. Merged persons are part of those they became."""
        found, following = await organised.catalog(
            tenant, lambda tx: people.page(tx, after=cursor, limit=limit, hidden=hidden)
        )
        return PersonPage(people=[PersonView.of(p) for p in found], next_cursor=following)

    @router.post(
        "",
        status_code=201,
        summary="Make a person of faces",
        response_model=PersonView,
        responses=responses(404, 422, 503),
    )
    async def create(
        body: NewPersonBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> PersonView:
        """The faces are the new person's from now on, whoever had them before."""
        person = await organised.people(
            tenant, actor, lambda p: p.confirm(body.keys(), None, body.name)
        )
        return await _view(organised, tenant, person)

    @router.get(
        "/suggestions",
        summary="List persons that may be one",
        response_model=SuggestionPage,
        responses=responses(422, 503),
    )
    async def suggestions(
        tenant: str = tenant_dep, cursor: Cursor = None, limit: Limit = 50
    ) -> SuggestionPage:
        """Merge them, or refuse the suggestion for ever."""
        found, following = await organised.catalog(
            tenant, lambda tx: faces_of_people.suggestions(tx, after=cursor, limit=limit)
        )
        views = [SuggestionView(first_id=a, second_id=b, similarity=near) for a, b, near in found]
        return SuggestionPage(suggestions=views, next_cursor=following)

    @router.post(
        "/suggestions/refuse",
        status_code=204,
        summary="Say that two persons are not one",
        responses=responses(404, 409, 422, 503),
    )
    async def refuse(body: PairBody, tenant: str = tenant_dep, actor: str = actor_dep) -> None:
        """They are never suggested or joined again, unless somebody merges them."""
        await organised.catalog(tenant, _of_two(people.refuse, body, actor))

    @router.post(
        "/suggestions/reopen",
        status_code=204,
        summary="Take back that two persons are not one",
        responses=responses(404, 409, 422, 503),
    )
    async def reopen(body: PairBody, tenant: str = tenant_dep, actor: str = actor_dep) -> None:
        """They may be suggested again by the next grouping."""
        await organised.catalog(tenant, _of_two(people.reopen, body, actor))

    @router.get(
        "/{person_id}",
        summary="Look at one person",
        response_model=PersonView,
        responses=responses(404, 422, 503),
    )
    async def get(person_id: Id, tenant: str = tenant_dep) -> PersonView:
        """Also those that are hidden or merged."""
        return await _view(organised, tenant, person_id)

    @router.patch(
        "/{person_id}",
        summary="Name or hide a person",
        response_model=PersonView,
        responses=responses(404, 409, 422, 503),
    )
    async def change(
        person_id: Id, body: PersonPatch, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> PersonView:
        """Names survive every later grouping."""

        def work(tx: Transaction) -> None:
            people.living(tx, person_id)
            if body.name is not None:
                people.rename(tx, person_id, body.name or None, actor)
            if body.hidden is not None:
                people.hide(tx, person_id, body.hidden, actor)

        await organised.catalog(tenant, work)
        return await _view(organised, tenant, person_id)

    @router.get(
        "/{person_id}/faces",
        summary="List a person's faces",
        response_model=FacePage,
        responses=responses(404, 422, 503),
    )
    async def faces(
        person_id: Id, tenant: str = tenant_dep, cursor: Cursor = None, limit: Limit = 50
    ) -> FacePage:
        """By photo; `source` says who decided, `confidence` how alike the face is to the rest."""

        def work(tx: Transaction) -> FacePage:
            people.get(tx, person_id)
            found, following = faces_of_people.of_person(tx, person_id, after=cursor, limit=limit)
            return FacePage(faces=[FaceView.of(f) for f in found], next_cursor=following)

        return await organised.catalog(tenant, work)

    @router.post(
        "/{person_id}/faces",
        summary="Say that faces are this person",
        response_model=PersonView,
        responses=responses(404, 409, 422, 503),
    )
    async def confirm(
        person_id: Id, body: FacesBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> PersonView:
        """They stay the person's through every later grouping."""
        await organised.people(tenant, actor, lambda p: p.confirm(body.keys(), person_id, None))
        return await _view(organised, tenant, person_id)

    @router.post(
        "/{person_id}/faces/remove",
        summary="Say that faces are not this person",
        response_model=Removed,
        responses=responses(404, 409, 422, 503),
    )
    async def remove(
        person_id: Id, body: FacesBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> Removed:
        """They never come back by themselves."""
        gone = await organised.people(tenant, actor, lambda p: p.remove(body.keys(), person_id))
        return Removed(removed=gone)

    @router.post(
        "/{person_id}/split",
        status_code=201,
        summary="Make a new person of some of the faces",
        response_model=PersonView,
        responses=responses(404, 409, 422, 503),
    )
    async def split(
        person_id: Id, body: NewPersonBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> PersonView:
        """The two persons are strangers from then on."""
        new = await organised.people(
            tenant, actor, lambda p: p.split(person_id, body.keys(), body.name)
        )
        return await _view(organised, tenant, new)

    @router.post(
        "/{person_id}/merge",
        summary="Merge another person into this one",
        response_model=PersonView,
        responses=responses(404, 409, 422, 503),
    )
    async def merge(
        person_id: Id, body: MergeBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> PersonView:
        """Taken back by un-merging the other person."""
        await organised.catalog(
            tenant, lambda tx: people.merge(tx, person_id, body.merged_id, actor)
        )
        return await _view(organised, tenant, person_id)

    @router.post(
        "/{person_id}/unmerge",
        summary="Take a merged person out again",
        response_model=PersonView,
        responses=responses(404, 409, 422, 503),
    )
    async def unmerge(
        person_id: Id, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> PersonView:
        """With the faces and the name it brought; faces that came since stay with the other."""
        await organised.catalog(tenant, lambda tx: people.unmerge(tx, person_id, actor))
        return await _view(organised, tenant, person_id)

    @router.get(
        "/{person_id}/merges",
        summary="List the merges of a person",
        response_model=MergePage,
        responses=responses(404, 422, 503),
    )
    async def merges(
        person_id: Id,
        tenant: str = tenant_dep,
        cursor: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
        limit: Limit = 50,
    ) -> MergePage:
        """Newest first, those taken back included."""

        def work(tx: Transaction) -> MergePage:
            people.get(tx, person_id)
            found, following = people.history(tx, person_id, before=cursor, limit=limit)
            return MergePage(merges=[MergeView.of(m) for m in found], next_cursor=following)

        return await organised.catalog(tenant, work)

    return router


def _of_two(
    judge: Callable[[Transaction, int, int, str], object], body: PairBody, actor: str
) -> Callable[[Transaction], None]:
    """A verdict on two persons that are there."""

    def work(tx: Transaction) -> None:
        for person in (body.first_id, body.second_id):
            people.living(tx, person)
        judge(tx, body.first_id, body.second_id, actor)

    return work


async def _view(organised: Organised, tenant: str, person_id: int) -> PersonView:
    return PersonView.of(await organised.catalog(tenant, lambda tx: people.get(tx, person_id)))
