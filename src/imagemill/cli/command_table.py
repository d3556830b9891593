"""The commands of ``imagemill`` by name: where each is defined, and its line in the list of all commands.

It imports no command, so that the list of all, and each command, loads only what it needs.
"""

from typing import NamedTuple

TITLE = "A self-hosted image-generation orchestrator: durable jobs, any client, any backend."
EPILOG = "First steps: imagemill. All settings: imagemill settings."
VERSION_HELP = "Show the version and exit."
SERVE, CLIENT, ADMIN = "Run Imagemill", "Use a server", "Administer an installation"
PANELS = (SERVE, CLIENT, ADMIN)


class CommandEntry(NamedTuple):
    """A command or a group of commands."""

    panel: str
    """The heading under which it is listed."""
    summary: str
    """The first paragraph of its help."""
    target: str
    """Its module below ``imagemill.cli`` and its name there: a function, or a group's ``Typer``."""
    further: tuple[tuple[str, str], ...] = ()
    """Commands of a group that other modules define: name and target of each."""


COMMANDS = {
    "demo": CommandEntry(
        SERVE,
        "Make a first picture: start a temporary server, submit a job, follow it and save the picture.",
        "demo:demo",
    ),
    "make": CommandEntry(
        SERVE,
        "Make a picture and save it. If no server runs on this machine, one is started for the time it "
        "takes.",
        "make:make",
    ),
    "serve": CommandEntry(
        SERVE,
        "Run everything: console, API, scheduler and workers, in one process or in several.",
        "serve:serve",
    ),
    "api": CommandEntry(
        SERVE,
        "Run the console and the HTTP API alone; scheduler and workers run in other processes.",
        "serve:api",
    ),
    "scheduler": CommandEntry(
        SERVE,
        "Run the scheduler alone: it ends lost leases, retries and expires jobs, and sends callbacks.",
        "serve:scheduler",
    ),
    "worker": CommandEntry(SERVE, "Run workers alone: they claim jobs and render them.", "serve:worker"),
    "generator": CommandEntry(
        SERVE,
        "Run the Celery worker of generator_queue, for tasks that applications send.",
        "serve:generator",
    ),
    "jobs": CommandEntry(
        CLIENT,
        "The jobs of a server: submit, list, show, watch, cancel, replay, bulk, priority.",
        "jobs:commands",
        (
            ("bulk", "operations:bulk"),
            ("priority", "operations:priority"),
            ("forecast", "forecast:forecast"),
            ("placement", "forecast:placement"),
        ),
    ),
    "artifacts": CommandEntry(
        CLIENT,
        "Finished pictures and other files: list, download, rate, delete, zip.",
        "artifact_commands:commands",
    ),
    "operations": CommandEntry(
        CLIENT, "Operations on many jobs, in the background: list, show, cancel.", "operations:commands"
    ),
    "pauses": CommandEntry(
        CLIENT, "Pauses of everything, of owners, recipes and nodes: list, add, remove.", "pauses:commands"
    ),
    "nodes": CommandEntry(
        CLIENT,
        "The ComfyUI nodes of a server: scan, add, list, drain, undrain, remove, doctor.",
        "nodes:commands",
        (("models", "forecast:node_models"),),
    ),
    "simulator": CommandEntry(
        CLIENT, "The simulator of a server: show, speed, faults; for tests of clients.", "simulator:commands"
    ),
    "workers": CommandEntry(CLIENT, "The processes of an installation: list.", "worker_list:commands"),
    "models": CommandEntry(
        CLIENT,
        "The checkpoints, LoRAs and other model files that jobs can name: list, import, default.",
        "models:commands",
    ),
    "resources": CommandEntry(
        CLIENT,
        "The model registry: add, import, list, show, set, remove. Files of nodes: imagemill models.",
        "resources:commands",
    ),
    "workflows": CommandEntry(
        CLIENT,
        "Run ComfyUI graphs with typed inputs: propose, add, list, show, edit, versions, diff, remove, run.",
        "workflows:commands",
    ),
    "webhooks": CommandEntry(
        CLIENT,
        "Webhooks: list, create, delete, resume, messages, resend, test. An endpoint is named by id or URL.",
        "webhooks:commands",
    ),
    "limits": CommandEntry(CLIENT, "Limits of owners: show, set.", "quotas:commands"),
    "credits": CommandEntry(
        CLIENT, "Credits: balance, statement, grant, transfer, account (who pays).", "credits:commands"
    ),
    "price": CommandEntry(CLIENT, "Show the price of a job.", "credits:price"),
    "stats": CommandEntry(
        CLIENT, "Show counters of jobs, waiting times, nodes and webhooks of the last hours.", "stats:stats"
    ),
    "health": CommandEntry(CLIENT, "Show the health of a server.", "maintenance:health"),
    "checklist": CommandEntry(
        CLIENT,
        "List the first steps on a server, and which of them you have done.",
        "feed_display:checklist",
    ),
    "doctor": CommandEntry(
        ADMIN,
        "Check settings, plug-ins, folder, database, broker, blobs, nodes and processes.",
        "doctor:doctor",
    ),
    "keys": CommandEntry(
        ADMIN,
        "API keys: create, list, revoke. Uses the database of the settings; no server is needed.",
        "keys:commands",
    ),
    "users": CommandEntry(
        ADMIN,
        "Accounts and the users who log in. Uses the database of the settings; no server is needed.",
        "users:commands",
    ),
    "sessions": CommandEntry(ADMIN, "Sign-ins to the console: list, end, link.", "session_list:commands"),
    "migrate": CommandEntry(
        ADMIN,
        "Upgrade the database to this version's schema. Servers also do so when they start.",
        "maintenance:migrate",
    ),
    "backup": CommandEntry(
        ADMIN, "Copy the database, the pictures and the secrets while the server runs.", "backup:backup"
    ),
    "plugins": CommandEntry(ADMIN, "Installed plug-ins.", "plugin_list:commands"),
    "settings": CommandEntry(
        ADMIN,
        "Show the settings that differ from the defaults, and where each comes from.",
        "settings:commands",
    ),
}
PRODUCTS = {
    "books": "Picture books with a child as the hero: from one photo to the print files.",
    "characters": "Pictures of characters, stories and chats.",
    "library": "The model library (photos of fashion models): list, show, versions, edit, batch, test, "
    "sheet.",
}
"""The summaries of our own products' groups, whose commands come from `Product.commands`."""
