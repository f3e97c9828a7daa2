"""The ORM tables, one file an aggregate."""

from core.tables.access import Ace, AclNode, Label, Policy, PolicyCount, StateHistory
from core.tables.administration import AdminGrant, Approval, BreakGlass
from core.tables.audit import AuditEntry
from core.tables.base import Base
from core.tables.catalogue import DocumentBand, DocumentFinding, DocumentProfile
from core.tables.directory import (
    ApiKey,
    App,
    Directory,
    ExternalIdentity,
    Group,
    Membership,
    Principal,
    User,
)
from core.tables.documents import Chunk, Document, DocumentVersion, Upload, VersionChunk
from core.tables.erasure import ErasedObject, Erasure
from core.tables.index import ChunkPoint, Facet, Generation, GenerationReference, PointGarbage
from core.tables.runs import IdempotencyKey, Item, Run
from core.tables.sources import ConfigObject, Source, StoredSecret
from core.tables.tenancy import EpochTime, PolicyEpoch, Tenant
from core.tables.workers import StageTime, WorkerBeat

__all__ = [
    "Ace",
    "AclNode",
    "AdminGrant",
    "ApiKey",
    "App",
    "Approval",
    "AuditEntry",
    "Base",
    "BreakGlass",
    "Chunk",
    "ChunkPoint",
    "ConfigObject",
    "Directory",
    "Document",
    "DocumentBand",
    "DocumentFinding",
    "DocumentProfile",
    "DocumentVersion",
    "EpochTime",
    "ErasedObject",
    "Erasure",
    "ExternalIdentity",
    "Facet",
    "Generation",
    "GenerationReference",
    "Group",
    "IdempotencyKey",
    "Item",
    "Label",
    "Membership",
    "PointGarbage",
    "Policy",
    "PolicyCount",
    "PolicyEpoch",
    "Principal",
    "Run",
    "Source",
    "StageTime",
    "StateHistory",
    "StoredSecret",
    "Tenant",
    "Upload",
    "User",
    "VersionChunk",
    "WorkerBeat",
]
