"""The stores of a process, and the order of the writes that end each transaction."""

from imagemill.accounts import store as accounts_store
from imagemill.accounts import throttle
from imagemill.accounts.audit import AuditLog
from imagemill.accounts.store import AccountStore, SessionStore, UserStore
from imagemill.accounts.throttle import AttemptCounter
from imagemill.accounts.tickets import SocketTickets
from imagemill.config import Settings
from imagemill.credits import ledger
from imagemill.credits.ledger import Ledger
from imagemill.credits.provider_calls import ProviderCalls
from imagemill.db import migrate
from imagemill.db.database import Database
from imagemill.db.engine import Engines, open_engines
from imagemill.db.group_commit import Listener
from imagemill.db.locks import LeaderLeases
from imagemill.domain.dataclass import dataclass
from imagemill.domain.placement import Policy, choose
from imagemill.jobs.operations.store import OperationStore
from imagemill.jobs.pauses import PauseStore
from imagemill.jobs.processes import ProcessStore
from imagemill.jobs.store.batches import BatchStore
from imagemill.jobs.store.heartbeat import record_heartbeats
from imagemill.jobs.store.store import JobStore
from imagemill.model_registry.store import ResourceStore
from imagemill.nodes.store import NodeStore
from imagemill.products.base import installed_products
from imagemill.quotas.store import QuotaStore
from imagemill.safety.decisions import Decisions
from imagemill.webhooks.outbox import CallbackOutbox, enqueue_messages
from imagemill.webhooks.store import WebhookStore
from imagemill.workflows.store import WorkflowStore


@dataclass(frozen=True, slots=True)
class Stores:
    """One store for each feature, all on one database. Products build their own on ``database``."""

    database: Database
    jobs: JobStore
    batches: BatchStore
    accounts: AccountStore
    users: UserStore
    sessions: SessionStore
    attempts: AttemptCounter
    audit: AuditLog
    ledger: Ledger
    provider_calls: ProviderCalls
    quotas: QuotaStore
    decisions: Decisions
    leases: LeaderLeases
    tickets: SocketTickets
    processes: ProcessStore
    pauses: PauseStore
    operations: OperationStore
    resources: ResourceStore
    nodes: NodeStore
    workflows: WorkflowStore
    webhooks: WebhookStore
    callbacks: CallbackOutbox

    def close(self) -> None:
        self.database.close()


def upgrade_database(settings: Settings) -> str | None:
    """Bring the tables of the core and of the products to the versions of this installation.

    Returns the core's former revision, None for an empty database.
    """
    folders = {
        product.name: product.migrations for product in installed_products() if product.migrations is not None
    }
    return migrate.upgrade(settings.database, products=folders)


def open_stores(settings: Settings) -> Stores:
    """Connect to the database that the settings name."""
    engines = open_engines(settings.database, fsync=settings.fsync, pooler=settings.database_pooler)
    return build_stores(engines)


def build_stores(engines: Engines, listener: Listener | None = None, *, policy: Policy = choose) -> Stores:
    """Build the stores, with the record writers of the products that are installed.

    ``listener`` is called after every commit of this process; ``policy`` chooses the job that a slot takes.
    """
    database = Database(engines)
    if listener is not None:
        database.listen(listener)
    writers = {
        kind: write for product in installed_products() for kind, write in product.record_writers().items()
    }
    references = [
        query for product in installed_products() if (query := product.file_references()) is not None
    ]
    jobs = JobStore(database, policy=policy, record_writers=writers, file_references=references)
    attempts = AttemptCounter(database)
    database.order(
        # These come after the writes that lock only rows of their own, in this order in every process,
        # so that no two transactions wait for each other.
        last_writes=(
            attempts.counting,
            throttle.reset_attempts,
            accounts_store.add,
            jobs.submit_write,
            ledger.post,
            jobs.claim_write,
        ),
        settle=ledger.settle,
        enqueue_webhooks=enqueue_messages,
        # A claim that a power loss undoes leaves the job in the queue. After one no job of a heartbeat runs.
        unflushed=(jobs.claim_write, record_heartbeats),
    )
    return Stores(
        database=database,
        jobs=jobs,
        batches=BatchStore(database),
        accounts=AccountStore(database),
        users=UserStore(database),
        sessions=SessionStore(database),
        attempts=attempts,
        audit=AuditLog(database),
        ledger=Ledger(database),
        provider_calls=ProviderCalls(database),
        quotas=QuotaStore(database),
        decisions=Decisions(database),
        leases=LeaderLeases(database),
        tickets=SocketTickets(database),
        processes=ProcessStore(database),
        pauses=PauseStore(database),
        operations=OperationStore(database),
        resources=ResourceStore(database),
        nodes=NodeStore(database),
        workflows=WorkflowStore(database),
        webhooks=WebhookStore(database),
        callbacks=CallbackOutbox(database),
    )
