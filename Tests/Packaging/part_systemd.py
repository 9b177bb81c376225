"""Units by systemd-analyze, socket activation by systemd-socket-activate, notifications as systemd takes them. Nothing needs a running systemd."""
import os
import re
import shutil
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path

import seccomp
from support import PACKAGING, URINGD, Process, ask, free_port, judge, need, run, skip, until

UNITS = PACKAGING / "systemd"


def units(directory):
    # The program stands where it was built, not where the units say.
    for name in ("uringd.service", "uringd.socket"):
        text = (UNITS / name).read_text().replace("/usr/local/bin/uringd", URINGD)
        version = int(re.search(r"systemd (\d+)", run("systemctl", "--version").stdout).group(1))
        if version < 253:
            text = text.replace("Type=notify-reload", "Type=notify")
        (directory / name).write_text(text)
    done = run("systemd-analyze", "verify", "--man=no", directory / "uringd.service", directory / "uringd.socket")
    said = [line for line in (done.stdout + done.stderr).splitlines() if "uringd" in line]
    judge("systemd-analyze verify", done.returncode == 0 and not said, said or done.stderr)
    done = run("systemd-analyze", "security", "--offline=yes", "--no-pager", directory / "uringd.service")
    exposure = re.search(r"exposure level for uringd.service: ([\d.]+)", done.stdout)
    judge("systemd-analyze security: exposure below 2", exposure and float(exposure.group(1)) < 2, done.stdout[-300:] + done.stderr)


def filter_of(text):
    """The calls that the unit's SystemCallFilter= lines leave, as systemd.exec(5) reads them."""
    sets = {}

    def calls(name):
        if not name.startswith("@"):
            return {name}
        if name not in sets:
            lines = [line.strip() for line in run("systemd-analyze", "syscall-filter", name).stdout.splitlines()]
            sets[name] = set().union(*(calls(line) for line in lines if line and not line.startswith("#") and line != name))
        return sets[name]

    allowed = set()
    for line in re.findall(r"^SystemCallFilter=(.*)", text, re.M):
        named = set().union(*(calls(word) for word in line.lstrip("~").split()))
        allowed = allowed - named if line.startswith("~") else allowed | named
    # systemd lets these through always (seccomp-util: it starts the program by them).
    return allowed | {"execve", "exit", "exit_group", "rt_sigreturn", "sigreturn"}


def filtered(directory):
    """A server under the very filter of the unit: it starts, answers, reloads, and ends."""
    names = filter_of((UNITS / "uringd.service").read_text())
    for backend in ("uring", "epoll"):
        port = free_port()
        file = directory / "filtered.yaml"
        file.write_text(f'listen: [{{ address: "127.0.0.1:{port}" }}]\nroutes: [{{ name: all, match: {{}}, respond: {{ body: x }} }}]\n')
        server = Process(directory, *seccomp.command(directory, names), URINGD, "serve", "--config", file, "--backend", backend)
        try:
            judge(f"{backend}: it serves under SystemCallFilter=", server.wait_for("listening on") and ask(port) == "x", server.text[-500:])
            server.process.send_signal(signal.SIGHUP)
            judge(f"{backend}: and reloads", server.wait_for("reloaded"), server.text[-500:])
            pids = server.process.pid
            os.kill(pids, signal.SIGUSR2)
            if not judge(f"{backend}: and hands over to a successor", server.wait_for("serves from now on"), server.text[-500:]):
                continue
            successor = int(re.search(r"process (\d+) serves", server.text).group(1))
            judge(f"{backend}: which answers", ask(port) == "x")
            os.kill(successor, signal.SIGTERM)
            judge(f"{backend}: and ends in order", server.end() == 0, server.text[-300:])
        finally:
            server.end(9)


class Manager:
    """The socket that NOTIFY_SOCKET names."""

    def __init__(self, directory):
        self.path = str(directory / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.told = []
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            try:
                self.told.append((time.monotonic(), self.socket.recv(4096).decode()))
            except OSError:
                return

    def states(self):
        return [state for _, text in self.told for state in text.split("\n")]

    def wait_for(self, state, count=1):
        return until(lambda: sum(s.startswith(state) for s in self.states()) >= count)


def activation(directory, supervised):
    """Clients are in the queue before there is a server; a unix socket's file is systemd's."""
    kind = "supervised: " if supervised else ""
    port, unix = free_port(), directory / f"activated{supervised}.sock"
    file = directory / "activated.yaml"
    file.write_text(f'listen: [{{ address: "127.0.0.1:{port}" }}, {{ address: "unix:{unix}" }}]\nloops: 2\n'
                    + ("supervisor: true\n" if supervised else "") + 'routes: [{ name: all, match: {}, respond: { body: activated } }]\n')
    server = Process(directory, "systemd-socket-activate", "-l", f"127.0.0.1:{port}", "-l", unix, "--fdname=web:local", URINGD, "serve", "--config", file)
    try:
        judge(f"{kind}the sockets are open before the server", server.wait_for(f"Listening on 127.0.0.1:{port}", 10), server.text)
        judge(f"{kind}the first client starts it, and is answered", until(lambda: ask(port) == "activated"), server.text[-800:])
        judge(f"{kind}by the socket that was passed", server.wait_for(f"listening on http://127.0.0.1:{port}") and "in use" not in server.text, server.text[-500:])
        judge(f"{kind}the unix socket too", ask(unix) == "activated")
        judge(f"{kind}many clients", all(ask(port) == "activated" for _ in range(50)))
        if not supervised:
            os.kill(server.process.pid, signal.SIGUSR2)
            judge("an upgrade has them too", server.wait_for("serves from now on"), server.text[-500:])
            server.end()
            successor = int(re.search(r"process (\d+) serves", server.text).group(1))
            judge("the successor answers on both", ask(port) == ask(unix) == "activated")
            os.kill(successor, signal.SIGTERM)
            until(lambda: not Path(f"/proc/{successor}").exists())
        else:
            judge("supervised: it ends in order", server.end() == 0, server.text[-300:])
        judge(f"{kind}the file of the unix socket is left to systemd", unix.exists())
    finally:
        server.end(9)


def mismatches(directory):
    port, other = free_port(), free_port()
    file = directory / "other.yaml"
    now = ["--now"] if "--now" in run("systemd-socket-activate", "--help").stdout else []
    for more in ("", "supervisor: true\n"):
        file.write_text(f'listen: [{{ address: "127.0.0.1:{other}" }}]\n{more}routes: [{{ name: all, match: {{}}, respond: {{}} }}]\n')
        server = Process(directory, "systemd-socket-activate", *now, "-l", f"127.0.0.1:{port}", "--fdname=web", URINGD, "serve", "--config", file)
        said = f"the service manager passes a socket for 127.0.0.1:{port} (web), which the configuration does not listen on (127.0.0.1:{other})"
        if server.wait_for("Listening on", 10) and not now:
            # Older ones start with the first client.
            socket.create_connection(("127.0.0.1", port)).close()
        judge(f"a socket that nobody listens on is an error{' of the supervisor' if more else ''}", until(lambda: server.process.poll() == 1, 20) and said in server.text, server.text[-500:])
        server.end(9)
    server = Process(directory, "systemd-socket-activate", "-d", "-l", f"127.0.0.1:{port}", URINGD, "serve", "--config", file)
    server.wait_for("Listening on", 10)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"x", ("127.0.0.1", port))
    judge("datagrams are refused", until(lambda: server.process.poll() == 1, 20) and "is no listening stream socket" in server.text, server.text[-500:])
    server.end(9)


def notifications(directory, supervised):
    kind = "supervised: " if supervised else ""
    folder = directory / f"notify{supervised}"
    folder.mkdir()
    manager, port = Manager(folder), free_port()
    file = folder / "n.yaml"
    text = f'listen: [{{ address: "127.0.0.1:{port}" }}]\n{"supervisor: true" if supervised else ""}\nroutes: [{{ name: all, match: {{}}, respond: {{}} }}]\n'
    file.write_text(text)
    # The watchdog's period, and whose it is, are told by the environment; its process is known when it runs.
    environment = dict(os.environ, NOTIFY_SOCKET=manager.path, WATCHDOG_USEC="200000")
    server = Process(folder, "sh", "-c", f'WATCHDOG_PID=$$ exec "{URINGD}" serve --config "{file}"', env=environment)
    try:
        judge(f"{kind}READY", manager.wait_for("READY=1"), server.text)
        judge(f"{kind}WATCHDOG, again and again", manager.wait_for("WATCHDOG=1", 5), manager.states())
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        server.process.send_signal(signal.SIGHUP)
        judge(f"{kind}RELOADING", manager.wait_for("RELOADING=1"))
        judge(f"{kind}READY behind it", manager.wait_for("READY=1", 2))
        reloading = next(text for _, text in manager.told if "RELOADING=1" in text)
        when = int(re.search(r"^MONOTONIC_USEC=(\d+)", reloading, re.M).group(1))
        judge(f"{kind}with the time of the reload", before <= when <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000, reloading)
        file.write_text(text + "nonsense: 1\n")
        server.process.send_signal(signal.SIGHUP)
        judge(f"{kind}READY behind a reload that was refused", manager.wait_for("RELOADING=1", 2) and manager.wait_for("READY=1", 3), manager.states())
        file.write_text(text)
        if not supervised:
            server.process.send_signal(signal.SIGUSR2)
            judge("MAINPID of a successor", manager.wait_for("MAINPID="), server.text[-400:])
            successor = int(next(s for s in manager.states() if s.startswith("MAINPID=")).split("=")[1])
            judge("the old one ends", until(lambda: server.process.poll() == 0))
            fed = sum(s == "WATCHDOG=1" for s in manager.states())
            judge("the successor feeds the watchdog", manager.wait_for("WATCHDOG=1", fed + 3))
            os.kill(successor, signal.SIGTERM)
            judge("STOPPING", manager.wait_for("STOPPING=1"))
            until(lambda: not Path(f"/proc/{successor}").exists())
        else:
            judge("supervised: it ends in order", server.end() == 0)
            judge("supervised: STOPPING", manager.wait_for("STOPPING=1"))
    finally:
        server.end(9)
        manager.socket.close()


def main():
    if not shutil.which("systemd-socket-activate"):
        need("systemd")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        units(directory)
        for supervised in (False, True):
            activation(directory, supervised)
            notifications(directory, supervised)
        mismatches(directory)
        filtered(directory)
