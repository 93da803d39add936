"""Proposals of purchases in the Togai dialect."""

from datetime import datetime
from typing import Literal

from bursar.http.door import Answer, Body, Call
from bursar.http.togai.door import PageQuery, PaginationOptions, door, open_token, seal_token
from bursar.http.togai.overrides import about
from bursar.http.togai.purchase_shapes import (
    CreateProposalRequest,
    GetProposalResponse,
    ProposalShape,
    WalletTopupDetails,
    new_purchase,
    override_field,
    plan_fields,
    proposal_fields,
    topup_shape,
)
from bursar.http.togai.purchases import TAG
from bursar.invoicing import ordered, ordering
from bursar.invoicing.ordered import Ordered


class UpdateProposalStatus(Body, kw_only=True):
    """The answer to a proposal."""

    status: Literal["APPROVE", "DECLINE"]


class ProposalsListResponse(Answer, kw_only=True):
    """A proposal in a list."""

    id: str
    status: str
    type: str
    payment_mode: str
    created_at: datetime
    updated_at: datetime
    price_plan_id: str | None = None
    price_plan_name: str | None = None
    price_plan_version: int | None = None
    wallet_topup_details: WalletTopupDetails | None = None
    idempotency_key: str | None = None
    expiry_date: datetime | None = None


class ProposalsPaginatedResponse(Answer, kw_only=True):
    """A page of proposals."""

    data: list[ProposalsListResponse]
    next_token: str | None
    context: PaginationOptions


@door.operation(
    "POST",
    "/accounts/{account_id}/purchase_proposals",
    id="createProposal",
    tag=TAG,
    summary="Propose a purchase",
    scope="write",
    body=CreateProposalRequest,
    answer=ProposalShape,
)
async def create_proposal(call: Call, body: CreateProposalRequest) -> ProposalShape:
    """Propose a purchase to an account."""
    workspace, account = call.caller.workspace, call.path["account_id"]
    async with call.db.transaction(workspace) as connection:
        new = await new_purchase(connection, workspace, account, body, body.payment_mode)
    with about(override_field(body)):
        made = await ordering.propose(call.db, call.caller, new)
    return ProposalShape(**proposal_fields(await ordered.get_proposal(call.db, call.caller, made)))


@door.operation(
    "GET",
    "/accounts/{account_id}/purchase_proposals",
    id="listAccountProposals",
    tag=TAG,
    summary="List the proposals of an account",
    query=PageQuery,
    answer=ProposalsPaginatedResponse,
)
async def list_proposals(call: Call, query: PageQuery) -> ProposalsPaginatedResponse:
    """List what was proposed to an account, newest first."""
    query, after, size = open_token(query)
    account = call.path["account_id"]
    page = await ordered.list_purchases(call.db, call.caller, account, after, size, proposed=True)
    return ProposalsPaginatedResponse(
        data=[_listed(one) for one in page.items],
        next_token=seal_token(query, page.after, size),
        context=PaginationOptions(page_size=size, sort_order="DESC"),
    )


@door.operation(
    "GET",
    "/purchase_proposals/{purchase_proposal_id}",
    id="getProposal",
    tag=TAG,
    summary="Get a proposal",
    answer=GetProposalResponse,
)
async def get_proposal(call: Call) -> GetProposalResponse:
    """Read a proposal."""
    shown = await ordered.get_proposal(call.db, call.caller, call.path["purchase_proposal_id"])
    return GetProposalResponse(**proposal_fields(shown), purchase_plan=plan_fields(shown))


@door.operation(
    "POST",
    "/purchase_proposals/{purchase_proposal_id}/update_status",
    id="updateProposalStatus",
    tag=TAG,
    summary="Approve or decline a proposal",
    scope="write",
    body=UpdateProposalStatus,
    answer=ProposalShape,
)
async def update_status(call: Call, body: UpdateProposalStatus) -> ProposalShape:
    """Answer a proposal."""
    identifier = call.path["purchase_proposal_id"]
    await ordering.answer_proposal(call.db, call.caller, identifier, body.status)
    return ProposalShape(**proposal_fields(await ordered.get_proposal(call.db, call.caller, identifier)))


def _listed(shown: Ordered) -> ProposalsListResponse:
    one, plan = shown.purchase, shown.plan
    return ProposalsListResponse(
        id=one.id,
        status=f"PROPOSAL_{one.proposal}",
        type=one.type,
        payment_mode=one.payment_mode,
        created_at=one.created_at,
        updated_at=one.updated_at,
        price_plan_id=None if plan is None else plan.id,
        price_plan_name=None if plan is None else plan.name,
        price_plan_version=None if plan is None else plan.version,
        wallet_topup_details=topup_shape(one.goods.topup),
        idempotency_key=one.idempotency_key,
        expiry_date=one.expires_at,
    )
