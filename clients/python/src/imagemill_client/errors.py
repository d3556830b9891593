"""The errors of the client."""

from imagemill_client.models import JobBody, Problem


class ImagemillError(Exception):
    """Base of all errors of this package."""


class ServerUnreachable(ImagemillError):
    """No answer came, after all retries."""


class ApiError(ImagemillError):
    """The server refused the request."""

    def __init__(self, status: int, text: str, problem: Problem | None) -> None:
        super().__init__(f"{status}: {problem.detail if problem else text[:500]}")
        self.status = status
        self.problem = problem
        """The error as the server described it; None for an answer that is not Imagemill's, as of a proxy."""

    @property
    def code(self) -> str:
        """The code that does not change, such as ``invalid_input``; empty if the server sent none."""
        return self.problem.type.rpartition(":")[2] if self.problem else ""


class JobNotSuccessful(ImagemillError):
    """The job failed, was cancelled, or expired."""

    def __init__(self, job: JobBody) -> None:
        reason = f": {job.error.message}" if job.error else ""
        super().__init__(f"job {job.id} is {job.status}{reason}")
        self.job = job
