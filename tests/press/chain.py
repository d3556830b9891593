"""A product whose jobs follow one another."""

from imagemill.domain.jobs import JobStatus as S
from imagemill.jobs.store.queries import Filter
from imagemill.jobs.submit import JobRequest, Submitter
from imagemill.products.base import Product, ProductContext, ProductParts
from tests.press.recipes import RECIPES

LAST = 4


class Chain(ProductParts):
    """Each job that has succeeded is followed by the next, up to `LAST`: a job's name is its number."""

    recipes = (RECIPES["drawn"],)

    def __init__(self, context: ProductContext) -> None:
        self.context = context
        self.calls = 0
        self.crashes = 0
        """The next calls that end between two submissions."""
        self.error: Exception | None = None

    def advance(self, submitter: Submitter) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error
        jobs = self.context.jobs.list_jobs(Filter(owner=self.context.owner, limit=100))
        done = {int(job.name) for job in jobs if job.name and job.status is S.SUCCEEDED}
        for number in sorted(done):
            if number < LAST:
                self.submit(submitter, number + 1)
                if self.crashes:
                    self.crashes -= 1
                    raise KeyboardInterrupt

    def numbers(self) -> list[str]:
        """The names of the jobs that have succeeded."""
        jobs = self.context.jobs.list_jobs(Filter(owner=self.context.owner, limit=100))
        return sorted(str(job.name) for job in jobs if job.status is S.SUCCEEDED)

    def submit(self, submitter: Submitter, number: int) -> None:
        request = JobRequest("drawn", {}, name=str(number), unique_key=f"chain/{number}")
        drafts = submitter.prepare(self.context.owner, [request], dialect="native")
        submitter.submit(self.context.owner, drafts)


class ChainProduct(Product):
    name = "chain"

    def build(self, context: ProductContext) -> ProductParts:
        return Chain(context)


PRODUCT = ChainProduct()
