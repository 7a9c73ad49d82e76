"""/v1/faces: consent, clusters of faces and their labels."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from photoorg.store.catalog import Transaction, consent, faces_of_people, people
from photoorg.store.catalog.consent import TENANT, Withdrawn
from serve.api.paging import Cursor, Limit
from serve.api.people_models import (
    ClusterBody,
    ConsentBody,
    ConsentState,
    ConsentView,
    FacePage,
    FacePairBody,
    FaceView,
    GroupingView,
    LabelBody,
    LinkBody,
    PersonPage,
    PersonView,
    Unlinked,
)
from serve.auth import TenantOf, actor_of
from serve.organised import Organised
from serve.problems import responses


def faces_router(organised: Organised, tenant_of: TenantOf) -> APIRouter:
    """Routes under /v1/faces."""
    router = APIRouter(prefix="/v1/faces", tags=["people"])
    tenant_dep, actor_dep = Depends(tenant_of), Depends(actor_of)

    @router.get(
        "/consent",
        summary="See who agreed to faces being read",
        response_model=ConsentState,
        responses=responses(503),
    )
    async def consents(tenant: str = tenant_dep) -> ConsentState:
        """Nobody at first: faces are opt-in, for the tenant and for each user."""
        return await organised.catalog(tenant, _state)

    @router.put(
        "/consent",
        summary="Agree to faces being read, or withdraw that",
        response_model=ConsentState,
        responses=responses(422, 503),
    )
    async def say(
        body: ConsentBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> ConsentState:
        """Withdrawing deletes faces, embeddings, assignments and persons left without a face."""
        user = body.user or TENANT
        gone = Withdrawn(0, 0)
        if body.agreed:
            await organised.catalog(tenant, lambda tx: consent.agree(tx, user, actor))
        else:
            gone = await organised.withdraw(tenant, user, actor)
        state = await organised.catalog(tenant, _state)
        return state.model_copy(
            update={"deleted_faces": gone.faces, "deleted_persons": gone.persons}
        )

    @router.get(
        "/clusters",
        summary="List clusters of faces, the largest first",
        response_model=PersonPage,
        responses=responses(422, 503),
    )
    async def clusters(
        tenant: str = tenant_dep,
        cursor: Cursor = None,
        limit: Limit = 50,
        labelled: Annotated[bool | None, Query(description="Only with a name, or without.")] = None,
    ) -> PersonPage:
        """A cluster is a person that may not have a name yet."""
        found, following = await organised.catalog(
            tenant, lambda tx: people.page(tx, after=cursor, limit=limit, named=labelled)
        )
        return PersonPage(people=[PersonView.of(p) for p in found], next_cursor=following)

    @router.post(
        "/label",
        summary="Name a cluster of faces",
        response_model=PersonView,
        responses=responses(404, 409, 422, 503),
    )
    async def label(
        body: LabelBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> PersonView:
        """The name is the person's and stays through every later grouping."""
        return PersonView.of(
            await organised.catalog(
                tenant, lambda tx: people.rename(tx, body.person_id, body.name, actor)
            )
        )

    @router.get(
        "/unknown",
        summary="List faces that are nobody's yet",
        response_model=FacePage,
        responses=responses(422, 503),
    )
    async def unknown(
        tenant: str = tenant_dep, cursor: Cursor = None, limit: Limit = 50
    ) -> FacePage:
        """Strangers, poor faces, and faces that were taken away from a person."""
        found, following = await organised.catalog(
            tenant, lambda tx: faces_of_people.unknown(tx, after=cursor, limit=limit)
        )
        return FacePage(faces=[FaceView.of(f) for f in found], next_cursor=following)

    @router.post(
        "/cluster",
        summary="Group the faces into persons",
        response_model=GroupingView,
        responses=responses(422, 503),
    )
    async def cluster(
        body: ClusterBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> GroupingView:
        """Answers when it is done; for very many faces run `photoorg people cluster` instead."""
        summary = await organised.people(
            tenant, actor, lambda p: p.place_new() if body.new else p.cluster()
        )
        return GroupingView(**summary.to_dict())

    @router.post(
        "/links",
        status_code=204,
        summary="Say that two faces are one person, or two",
        responses=responses(404, 422, 503),
    )
    async def link(body: LinkBody, tenant: str = tenant_dep, actor: str = actor_dep) -> None:
        """Kept for ever; the next grouping obeys."""
        await organised.people(
            tenant, actor, lambda p: p.link(body.first.key(), body.second.key(), same=body.same)
        )

    @router.post(
        "/links/remove",
        response_model=Unlinked,
        summary="Take back what was said of two faces",
        responses=responses(404, 422, 503),
    )
    async def unlink(
        body: FacePairBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> Unlinked:
        """The next grouping is free to say who they are."""
        gone = await organised.people(
            tenant, actor, lambda p: p.unlink(body.first.key(), body.second.key())
        )
        return Unlinked(removed=gone)

    return router


def _state(tx: Transaction) -> ConsentState:
    said = consent.listing(tx)
    return ConsentState(
        consents=[
            ConsentView(
                user=c.user or None,
                agreed=c.agreed,
                changed_at=c.changed_at,
                changed_by=c.changed_by,
            )
            for c in said
        ]
    )
