"""A started server: owns the process, ends it and nothing else."""
import os
import socket
import subprocess
import time

from .client import fetch
from .scenarios import JSON


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Running:
    def __init__(self, server, scenario, context):
        self.server = server
        self.context = context
        self.port = free_port()
        argv = server.argv(scenario, self.port, context)
        self.log = context.temp / f"{server.name}-{self.port}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(context.cpu), *[str(a) for a in argv]],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(os.environ, **server.environment()))

    def fail(self, what):
        log = self.log.read_text(errors="replace").strip()
        self.stop()
        raise RuntimeError(f"{self.server.name}: {what}" + (f"\n  {log[-2000:]}" if log else ""))

    def check(self, scenario, seconds=10):
        """Waits until it answers, and looks at the answer: a server that answers 404 quickly must not win."""
        deadline = time.monotonic() + seconds
        while True:
            if self.process.poll() is not None:
                self.fail(f"ended with status {self.process.returncode}")
            try:
                status, body = fetch(self.port, self.server.path(scenario), scenario.h2, scenario.tls)
                break
            except OSError as e:
                if time.monotonic() > deadline:
                    self.fail(f"does not answer on port {self.port}: {e}")
                time.sleep(0.02)
        if status != 200:
            self.fail(f"answers {status} to {self.server.path(scenario)}")
        if len(body) != scenario.body_bytes or (scenario.body == "json" and body != JSON):
            self.fail(f"answers {len(body)} bytes to {self.server.path(scenario)}, not the {scenario.body_bytes} expected")

    def pids(self):
        return process_tree(self.process.pid)

    def stop(self):
        if self.process.poll() is None:
            pids = self.pids()
            self.process.terminate()
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                for pid in reversed(pids):
                    try:
                        os.kill(pid, 9)
                    except ProcessLookupError:
                        pass
                self.process.wait()


class Standalone:
    """What is measured without being a server (floor-openssl): a program that prints its own figures."""

    def __init__(self, server, scenario, context):
        self.server = server
        self.context = context

    def check(self, scenario):
        pass

    def stop(self):
        pass


def process_tree(root):
    """The process and all that descend from it."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as f:
                    children.setdefault(int(f.read().rsplit(")", 1)[1].split()[1]), []).append(int(entry))
            except (OSError, IndexError):
                pass
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += children.get(pid, [])
    return found


def start(server, scenario, context):
    return (Standalone if server.standalone else Running)(server, scenario, context)
