"""Measure peers in turns: ``python -m benchmarks.peers [PEER ...] [--rounds N] [--seconds S]``."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.peers import comfy, page, queues, turns, web
from benchmarks.peers.stage import Peer, Stage

PEERS: dict[str, Callable[[], Sequence[Peer]]] = {
    "imagemill": lambda: [web.imagemill()],
    "imagemill-sync": lambda: [web.imagemill_synced_otherwise()],
    "fastify": lambda: [web.fastify_peer("everysec")],
    "fastify-always": lambda: [web.fastify_peer("always")],
    "celery": lambda: [queues.celery_peer("picture")],
    "celery-noop": lambda: [queues.celery_peer("noop")],
    "procrastinate": lambda: [queues.procrastinate_peer()],
    "comfyui": comfy.peers,
}
ROUNDS = 3
SECONDS = 10.0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"of {', '.join(PEERS)}; none: all")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="load of each turn")
    parser.add_argument("--page", type=Path, help="a Markdown file whose figures to replace")
    parser.add_argument("--pictures", type=Path, default=Path("docs/images"), help="folder of its drawings")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.peers if name not in PEERS]:
        parser.error(f"unknown: {', '.join(unknown)}")
    chosen = [peer for name in options.peers or PEERS for peer in PEERS[name]()]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        standings = turns.run(Stage(Path(folder)), chosen, options.rounds, options.seconds)
    if options.page is not None:
        page.write(standings, options.seconds, options.page, options.pictures)
    print(page.figures(standings, options.seconds, str(options.pictures)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
