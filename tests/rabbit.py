"""A real RabbitMQ for tests, from Debian's packages, that can be stopped and started again on its port."""

import os
import socket
import subprocess
import time
from pathlib import Path

from tests.debian import environment, unpacked

_START_S = 60
"""It takes about 5 s on an idle machine."""

_ELECT = (
    "[catch ra:trigger_election(amqqueue:get_pid(Q)) "
    "|| Q <- rabbit_amqqueue:list_by_type(rabbit_quorum_queue)]."
)
"""This version, when it starts again with its clients at the door, now and then leaves a single node's quorum
queue without a leader for ever (rabbitmq-server issue 10070); what is said there helps."""


class RabbitServer:
    """One node that keeps what it acknowledged. Runs as any user, and needs no name service of Erlang's."""

    def __init__(self, folder: Path) -> None:
        self.port, self._peer_port = _free_ports(2)
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self._folder = folder
        self._root = unpacked("rabbitmq-server")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "rabbitmq.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(), env=self._environment(), cwd=self._folder, stdout=log, stderr=log
            )
        end = time.monotonic() + _START_S
        while not self._answers():
            assert self._process.poll() is None, self._log()
            assert time.monotonic() < end, self._log()
            time.sleep(0.05)

    def stop(self) -> None:
        """As by a power cut: what it did not acknowledge is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        from amqp import Connection
        from amqp.exceptions import AMQPError

        try:
            with Connection(f"127.0.0.1:{self.port}", connect_timeout=1, read_timeout=5):
                return True
        except (OSError, AMQPError):
            return False

    def _log(self) -> str:
        return (self._folder / "rabbitmq.log").read_text()

    def _command(self) -> list[str]:
        """What RabbitMQ's and Erlang's scripts come to: these only work where they were meant to be."""
        peers = str(self._peer_port)
        options = {
            "-s": ("rabbit", "boot"),
            "-eval": (_ELECT,),
            "-boot": ("start_sasl",),
            "-sname": ("rabbit@localhost",),
            "-start_epmd": ("false",),
            "-erl_epmd_port": (peers,),
            "-kernel": ("inet_dist_use_interface", "{127,0,0,1}"),
            "-syslog": ("logger", "[]"),
            # Idle threads of Erlang's would else spin; tests share few cores.
            "+sbwt": ("none",),
            "+sbwtdcpu": ("none",),
            "+sbwtdio": ("none",),
        }
        words = [word for option, values in options.items() for word in (option, *values)]
        return [str(self._erlang_programs / "erlexec"), "-noinput", *words]

    def _environment(self) -> dict[str, str]:
        (home,) = self._root.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*")
        programs = self._erlang_programs
        (self._folder / "enabled_plugins").write_text("[].")
        return environment(self._root) | {
            "HOME": str(self._folder),  # of the cookie
            "ROOTDIR": str(programs.parents[1]),
            "BINDIR": str(programs),
            "EMU": "beam",
            "PROGNAME": "erl",
            "ERL_LIBS": str(home / "plugins"),
            "RABBITMQ_HOME": str(home),
            "RABBITMQ_NODENAME": "rabbit@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._peer_port),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "data"),
            "RABBITMQ_PLUGINS_DIR": str(home / "plugins"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_LOGS": "-",
        }

    @property
    def _erlang_programs(self) -> Path:
        (programs,) = self._root.glob("usr/lib/erlang/erts-*/bin")
        return programs


def _free_ports(number: int) -> list[int]:
    probes = [socket.socket() for _ in range(number)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
