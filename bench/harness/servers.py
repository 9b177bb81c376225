"""How each server is started: the one place that knows command lines. A server that needs another command line for another
body says so in `argv`; None means that it does not take part in the scenario."""
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from . import build
from .scenarios import JSON


@dataclass
class Context:
    root: Path  # what is served
    temp: Path
    cpu: int
    uringd: Path


class Server:
    name = ""
    peer = True

    def prepare(self):
        """Builds it, if it is built."""

    def argv(self, scenario, port, context):
        raise NotImplementedError

    def path(self, scenario):
        return "/" if scenario.body == "json" else "/" + scenario.body

    def source(self, scenario):
        """Where the body comes from, for the table."""
        return "memory" if scenario.body == "json" else "file"

    def version(self):
        return ""

    def environment(self):
        return {}


class Ours(Server):
    name = "ours"
    peer = False

    def argv(self, scenario, port, context):
        common = ["--listen", f"127.0.0.1:{port}", "--loops", "1"]
        if scenario.body == "json":
            return [context.uringd, "respond", *common, "--json", JSON.decode()]
        if self.source(scenario) == "memory":
            return [context.uringd, "respond", *common, "--body", "x" * scenario.body_bytes]
        return [context.uringd, "files", context.root, *common]

    def path(self, scenario):
        return "/" if self.source(scenario) == "memory" else "/" + scenario.body

    def source(self, scenario):
        # An argument of a command may have 128 KiB at most, so 1 MiB comes from a file.
        return "memory" if scenario.source == "memory" and scenario.body_bytes < 100_000 else "file"


class Floor(Server):
    peer = False

    def __init__(self, io):
        self.name = f"floor-{io}"
        self.binary = build.OUT / f"floor_{io}"

    def argv(self, scenario, port, context):
        argv = [self.binary, "--port", port]
        if scenario.close:
            argv += ["--close"]
        if scenario.source == "file":
            argv += ["--file", context.root / scenario.body]
        elif scenario.body != "json":
            argv += ["--body-bytes", scenario.body_bytes]
        return argv

    def path(self, scenario):
        return "/"

    def source(self, scenario):
        return scenario.source


class Configured(Server):
    """nginx and h2o: a configuration file with the port and the directories filled in."""

    template = ""

    def config(self, port, context):
        text = (build.BENCH / "peers" / self.template).read_text()
        for name, value in (("PORT", port), ("ROOT", context.root), ("TEMP", context.temp)):
            text = text.replace(f"@{name}@", str(value))
        if os.geteuid() != 0:  # only root may say whom to run as
            text = "\n".join(line for line in text.splitlines() if not line.startswith("user"))
        file = context.temp / f"{self.name}-{port}.conf"
        file.write_text(text)
        return file


class Nginx(Configured):
    name = "nginx"
    template = "nginx.conf.in"

    def argv(self, scenario, port, context):
        return ["nginx", "-p", context.temp, "-c", self.config(port, context)]

    def version(self):
        return output(["nginx", "-v"])


class H2O(Configured):
    name = "h2o"
    template = "h2o.conf.in"

    def argv(self, scenario, port, context):
        return ["h2o", "-m", "worker", "-c", self.config(port, context)]

    def path(self, scenario):
        return "/" + scenario.body

    def source(self, scenario):
        return "file"

    def version(self):
        return output(["h2o", "--version"]).splitlines()[0]


class Go(Server):
    def __init__(self, name):
        self.name = name

    def prepare(self):
        build.go_peer(self.name)

    def argv(self, scenario, port, context):
        return [build.OUT / f"go-{self.name}", "-port", port, "-root", context.root]

    def path(self, scenario):
        if scenario.body == "json":
            return "/"
        return f"/mem/{scenario.body}" if scenario.source == "memory" else f"/{scenario.body}"

    def source(self, scenario):
        return scenario.source

    def version(self):
        version = output(["go", "version"])
        if self.name == "fasthttp":
            version += ", fasthttp " + output(["dpkg-query", "-W", "-f=${Version}", "golang-github-valyala-fasthttp-dev"])
        return version

    def environment(self):
        return {"GOMAXPROCS": "1"}


ALL = [Ours(), Floor("uring"), Floor("epoll"), Nginx(), H2O(), Go("fasthttp"), Go("nethttp")]


def choose(names):
    known = {s.name: s for s in ALL}
    unknown = [n for n in names if n not in known]
    if unknown:
        raise SystemExit(f"bench: unknown server {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[n] for n in names]


def output(argv):
    try:
        r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=10)
    except OSError as e:
        return f"not found ({e.strerror})"
    return r.stdout.strip()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Running:
    """One started server: owns the process, ends it and nothing else."""

    def __init__(self, server, scenario, context):
        self.server = server
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
                status, body = fetch(self.port, self.server.path(scenario))
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


def fetch(port, path):
    """One request by hand: (status, body). Raises OSError while nobody listens."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            piece = s.recv(65536)
            if not piece:
                raise OSError("closed without an answer")
            data += piece
        head, body = data.split(b"\r\n\r\n", 1)
        length = next((int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length:")), None)
        while length is None or len(body) < length:
            piece = s.recv(1 << 20)
            if not piece:
                break
            body += piece
        return int(head.split()[1]), body
