"""What is measured. `body` is json or the name of a file in the served directory; `source` says where a server takes it from."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    name: str
    connections: int
    pipeline: int = 1
    close: bool = False
    body: str = "json"
    source: str = "memory"
    about: str = ""

    @property
    def body_bytes(self):
        return FILES[self.body]


JSON = b'{"status":"ok"}'
FILES = {"json": len(JSON), "4k": 4 << 10, "64k": 64 << 10, "1m": 1 << 20}

ALL = [
    Scenario("json-1", 1, about="JSON, keep-alive, 1 connection (mostly the cost of sleeping and waking)"),
    Scenario("json-64", 64, about="JSON, keep-alive, 64 connections"),
    Scenario("json-256", 256, about="JSON, keep-alive, 256 connections"),
    Scenario("pipeline-16", 64, pipeline=16, about="JSON, 64 connections, 16 requests sent together"),
    Scenario("body-4k", 64, body="4k", about="4 KiB body, 64 connections; from memory where the server can"),
    Scenario("body-64k", 64, body="64k", about="64 KiB body, 64 connections; from memory where the server can"),
    Scenario("body-1m", 16, body="1m", about="1 MiB body, 16 connections; from memory where the server can"),
    Scenario("file-1m", 16, body="1m", source="file", about="1 MiB static file, 16 connections"),
    Scenario("close-32", 32, close=True, about="JSON, a connection per request, 32 at a time"),
]


def write_files(root):
    """The directory every server serves. Text without structure, so that nobody gains by compressing it by accident."""
    (root / "json").write_bytes(JSON)
    for name in ("4k", "64k", "1m"):
        (root / name).write_bytes(b"x" * FILES[name])


def choose(names):
    if not names:
        return ALL
    known = {s.name: s for s in ALL}
    unknown = [n for n in names if n not in known]
    if unknown:
        raise SystemExit(f"bench: unknown scenario {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[n] for n in names]
