"""`uringd top` in a terminal of its own (a pty), and without one."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time
from pathlib import Path

from support import URINGD, Process, ask, free_port, judge, run, until


class Terminal:
    def __init__(self, columns, rows, *command):
        self.master, slave = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.text = ""

    def resize(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, until_text, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if re.search(until_text, self.text):
                return True
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self.master, 65536).decode()
                except OSError:
                    break
        return bool(re.search(until_text, self.text))

    def pictures(self):
        """Lines of each whole picture, without the terminal's codes."""
        found = self.text.split("\x1b[H")[1:]
        return [[re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"\r*\n", picture)] for picture in found]

    def end(self, key=None):
        if key:
            os.write(self.master, key)
        while self.process.poll() is None and self.read("never", 0.2) is False:
            pass
        self.read("never", 0.2)
        return self.process.wait(timeout=20)


def main():
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        port, admin, upstream = free_port(), directory / "admin.sock", free_port()
        back = Process(directory, URINGD, "respond", "--listen", f"127.0.0.1:{upstream}", "--body", "x", name="back")
        file = directory / "uringd.yaml"
        file.write_text(f"""
listen: [{{ address: "127.0.0.1:{port}" }}]
admin: {{ address: "unix:{admin}" }}
loops: 2
upstreams: {{ behind: {{ servers: ["127.0.0.1:{upstream}"] }} }}
routes:
  - {{ name: hello, match: {{ path: /hello }}, respond: {{ body: hello }} }}
  - {{ name: proxied, match: {{}}, proxy: {{ upstream: behind }} }}
""")
        server = Process(directory, URINGD, "serve", "--config", file)
        address = f"unix:{admin}"
        try:
            judge("it serves", server.wait_for("(admin)") and back.wait_for("listening"), server.text)
            for _ in range(20):
                ask(port, "/hello")
                ask(port, "/other")
            once = run(URINGD, "top", "--admin", address, "--once")
            for part in (f"pid {server.process.pid}", "2 loops", "ROUTE", "hello", "proxied", "LOOP", f"behind 127.0.0.1:{upstream}"):
                judge(f"one picture has {part}", once.returncode == 0 and part in once.stdout, once.stdout + once.stderr)
            judge("without codes of a terminal", "\x1b" not in once.stdout)
            piped = run(URINGD, "top", "--admin", address)
            judge("without a terminal it is one picture", piped.returncode == 0 and "ROUTE" in piped.stdout and piped.stdout.count("ROUTE") == 1, piped.stderr)

            terminal = Terminal(100, 30, URINGD, "top", "--admin", address)
            judge("a terminal gets its other screen", terminal.read(r"\x1b\[\?1049h"), terminal.text)
            for _ in range(3000):
                ask(port, "/hello")
                if _ % 200 == 0 and terminal.read(r"hello +[1-9]", 0.01):
                    break
            judge("and pictures of what happens now", terminal.read(r"hello +[1-9]"), terminal.text[-2000:])
            judge("that fit", all(len(picture) <= 30 and all(len(line) <= 100 for line in picture) for picture in terminal.pictures()[:-1]))
            before = len(terminal.pictures())
            terminal.resize(40, 8)
            os.killpg(terminal.process.pid, signal.SIGWINCH)
            until(lambda: terminal.read("never", 0.1) or len(terminal.pictures()) > before + 2, 10)
            small = terminal.pictures()[-2]
            judge("a smaller one gets smaller ones", len(small) <= 8 and all(len(line) <= 40 for line in small), small)
            judge("q ends it", terminal.end(b"q") == 0)
            judge("and the screen and the keys are as before", terminal.text.endswith("\x1b[?25h\x1b[?1049l") and termios.tcgetattr(terminal.slave) == terminal.before, terminal.text[-60:])

            other = Terminal(80, 24, URINGD, "top", "--admin", address)
            other.read("ROUTE")
            server.end()
            judge("the end of the server ends it, and says so", other.end() == 1 and "uringd: " in other.text.split("\x1b[?1049l")[-1], other.text[-300:])
            gone = run(URINGD, "top", "--admin", address)
            judge("who cannot be reached is named", gone.returncode == 1 and address in gone.stderr, gone.stderr)
            wrong = run(URINGD, "top", "--admin", f"127.0.0.1:{upstream}")
            judge("what is no administration is told", wrong.returncode == 1, wrong.stdout + wrong.stderr)
        finally:
            server.end(9)
            back.end(9)
