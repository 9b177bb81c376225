"""How each server is started: the one place that knows command lines. A server that needs another command line for another
body says so in `argv`; `lacks` says why it does not take part in a scenario."""
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import build, certificates
from .scenarios import JSON


@dataclass
class Context:
    root: Path  # what is served
    temp: Path
    cpu: int
    uringd: Path

    def certificate(self, scenario):
        return certificates.make(scenario.key, self.temp)


class Server:
    name = ""
    peer = True
    standalone = False  # prints its own figures (running.Standalone)
    asked_for = False  # measured only when named by --servers

    def prepare(self):
        """Builds it, if it is built."""

    def argv(self, scenario, port, context):
        raise NotImplementedError

    def lacks(self, scenario, context):
        """Why it does not take part in the scenario, or None."""
        return None

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

    def lacks(self, scenario, context):
        """TLS and HTTP/2 came together: a build whose help names one has both, and then both must work."""
        if scenario.plain or "--tls" in output([str(context.uringd), "respond", "--help"]):
            return None
        return "this build has neither TLS nor HTTP/2"

    def argv(self, scenario, port, context):
        common = ["--listen", f"127.0.0.1:{port}", "--loops", "1"]
        if scenario.tls:
            c = context.certificate(scenario)
            common += ["--tls", f"{c.cert},{c.key}"]
        if scenario.handshake == "session-id":
            common += ["--session-tickets", "off"]
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


class OursOnEpoll(Ours):
    """The same binary as where io_uring is forbidden."""
    name = "ours-epoll"
    asked_for = True

    def argv(self, scenario, port, context):
        return [*super().argv(scenario, port, context), "--backend", "epoll"]


class Floor(Server):
    peer = False

    def __init__(self, io):
        self.name = f"floor-{io}"
        self.binary = build.OUT / f"floor_{io}"

    def lacks(self, scenario, context):
        return None if scenario.plain else "has neither TLS nor HTTP/2"

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


class FloorOpenSSL(Server):
    name = "floor-openssl"
    peer = False
    standalone = True

    def lacks(self, scenario, context):
        return None if scenario.handshake else "handshakes only"

    def argv(self, scenario, port, context):
        c = context.certificate(scenario)
        return [build.OUT / "floor_openssl", "--cert", c.cert, "--key", c.key, "--tls", scenario.tls, "--resumption", scenario.handshake]


class Configured(Server):
    """A configuration file in peers/: `@NAME@` is filled in, and a line that begins with `@flag@` or `@!flag@` (several with
    commas between) stays if the scenario has, or has not, these flags."""

    template = ""

    def config(self, scenario, port, context):
        text = "\n".join(filled for line in (build.BENCH / "peers" / self.template).read_text().splitlines()
                         if (filled := conditional(line, scenario.flags)) is not None)
        values = {"PORT": port, "ROOT": context.root, "TEMP": context.temp, "BODY": context.root / scenario.body}
        if scenario.tls:
            c = context.certificate(scenario)
            values |= {"CERT": c.cert, "KEY": c.key, "BOTH": c.both}
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        if os.geteuid() != 0:  # only root may say whom to run as
            text = "\n".join(line for line in text.splitlines() if not line.startswith("user"))
        file = context.temp / f"{self.name}-{port}.conf"
        file.write_text(text + "\n")
        return file


def conditional(line, flags):
    """The line without its condition, or None if that is not met."""
    m = re.match(r"(\s*)@(!?[a-z0-9]+(?:,!?[a-z0-9]+)*)@ ?(.*)$", line)
    if not m:
        return line
    met = all((f[1:] not in flags) if f.startswith("!") else (f in flags) for f in m[2].split(","))
    return m[1] + m[3] if met else None


class Nginx(Configured):
    name = "nginx"
    template = "nginx.conf.in"

    def argv(self, scenario, port, context):
        return ["nginx", "-p", context.temp, "-c", self.config(scenario, port, context)]

    def version(self):
        return output(["nginx", "-v"])


class H2O(Configured):
    name = "h2o"
    template = "h2o.conf.in"

    def argv(self, scenario, port, context):
        return ["h2o", "-m", "worker", "-c", self.config(scenario, port, context)]

    def path(self, scenario):
        return "/" + scenario.body

    def source(self, scenario):
        return "file"

    def version(self):
        return output(["h2o", "--version"]).splitlines()[0]


class HAProxy(Configured):
    name = "haproxy"
    template = "haproxy.cfg.in"

    def lacks(self, scenario, context):
        # A response of its own must fit into its buffer, and it serves no files.
        return None if scenario.source == "memory" and scenario.body_bytes < 100_000 else "serves no files and no large bodies"

    def argv(self, scenario, port, context):
        return ["haproxy", "-db", "-f", self.config(scenario, port, context)]

    def source(self, scenario):
        return "memory"

    def version(self):
        return output(["haproxy", "-v"]).splitlines()[0].removeprefix("HAProxy version ")


class Nghttpd(Server):
    """HTTP/2 only. It has no option for ciphers: what the client offers decides."""

    name = "nghttpd"

    def lacks(self, scenario, context):
        return None if scenario.h2 else "HTTP/2 only"

    def argv(self, scenario, port, context):
        argv = ["nghttpd", "-a", "127.0.0.1", "-d", context.root, "-n", "1", "-m", "256", port]
        if not scenario.tls:
            return [*argv[:1], "--no-tls", *argv[1:]]
        c = context.certificate(scenario)
        return [*argv, c.key, c.cert]

    def path(self, scenario):
        return "/" + scenario.body

    def source(self, scenario):
        return "file"

    def version(self):
        return output(["nghttpd", "--version"])


class Go(Server):
    def __init__(self, name):
        self.name = name

    def prepare(self):
        build.go_peer(self.name)

    def argv(self, scenario, port, context):
        argv = [build.OUT / f"go-{self.name}", "-port", port, "-root", context.root]
        if scenario.tls:
            c = context.certificate(scenario)
            argv += ["-cert", c.cert, "-key", c.key]
        return argv

    def lacks(self, scenario, context):
        if scenario.h2 and self.name == "fasthttp":
            return "no HTTP/2"
        if scenario.h2 and not scenario.tls:
            return "no HTTP/2 without TLS in the standard library"
        if scenario.handshake == "session-id":
            return "crypto/tls resumes no session ids"
        return None

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


ALL = [Ours(), OursOnEpoll(), Floor("uring"), Floor("epoll"), FloorOpenSSL(), Nginx(), H2O(), HAProxy(), Nghttpd(), Go("fasthttp"), Go("nethttp")]


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
