"""What the parts of Tests/Packaging/run share."""
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGING = ROOT / "packaging"
URINGD = os.environ.get("URINGD") or next((str(b) for b in (ROOT / ".build/release/uringd", ROOT / ".build/debug/uringd") if b.exists()), None)
passed = failed = 0


def judge(name, ok, text=""):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    print(f"{'ok    ' if ok else 'FAILED'} {name}{': ' + str(text) if text and not ok else ''}", flush=True)
    return bool(ok)


def skip(what):
    print(f"SKIPPED {what}", flush=True)


def run(*command, **options):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)


def need(*packages):
    """Installs Debian packages that are not there."""
    subprocess.run([str(ROOT / ".ci/packages"), *packages], check=True, stdout=sys.stderr)


def tool(name, package):
    """A program of PyPI's, in an environment below .build; None where it cannot be had."""
    home = ROOT / ".build/packaging-tools"
    program = home / "bin" / name
    if not program.exists():
        if not (home / "bin/pip").exists():
            run(sys.executable, "-m", "venv", home)
        done = run(home / "bin/pip", "install", "--quiet", package)
        if done.returncode:
            print(done.stderr[-500:], file=sys.stderr)
    return program if program.exists() else None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, seconds=30):
    """The first true value of `what`, whose failures are "not yet"."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if value := what():
                return value
        except OSError:
            pass
        time.sleep(0.02)
    return None


def ask(address, path="/", method="GET"):
    """The body of an answer; address is a port or the path of a unix socket."""
    family = socket.AF_INET if isinstance(address, int) else socket.AF_UNIX
    with socket.socket(family) as s:
        s.settimeout(20)
        s.connect(("127.0.0.1", address) if isinstance(address, int) else str(address))
        s.sendall(f"{method} {path} HTTP/1.0\r\nHost: a\r\n\r\n".encode())
        return s.makefile("rb").read().decode().partition("\r\n\r\n")[2]


class Process:
    """A program whose output is a file."""

    def __init__(self, directory, *command, name="log", **options):
        self.path = Path(directory) / name
        self.log = open(self.path, "w")
        self.process = subprocess.Popen([str(c) for c in command], stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, **options)

    @property
    def text(self):
        return self.path.read_text()

    def wait_for(self, words, seconds=30):
        return until(lambda: re.search(words, self.text) or (self.process.poll() is not None and re.search(words, self.text)), seconds)

    def end(self, signal=15):
        if self.process.poll() is None:
            self.process.send_signal(signal)
        try:
            return self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
