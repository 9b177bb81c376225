"""What is measured. `body` is json or the name of a file in the served directory; `source` says where a server takes it from."""
from dataclasses import dataclass
from fnmatch import fnmatch


@dataclass(frozen=True)
class Scenario:
    name: str
    connections: int
    pipeline: int = 1
    close: bool = False
    body: str = "json"
    source: str = "memory"
    h2: bool = False
    streams: int = 1  # at a time on each connection
    tls: str = ""  # "1.2" or "1.3"
    handshake: str = ""  # full, psk, ticket, session-id: connections are measured, not requests
    key: str = "ecdsa"  # the certificate's
    about: str = ""

    @property
    def body_bytes(self):
        return FILES[self.body]

    @property
    def plain(self):
        """What our first generator and wrk can do: HTTP/1.1 without TLS."""
        return not self.tls and not self.h2

    @property
    def by_h2load(self):
        return not self.plain and not self.handshake

    @property
    def flags(self):
        """What the configuration templates of the peers ask for."""
        return {name for name, on in (("tls", self.tls), ("h2", self.h2), ("cache", self.handshake == "session-id"),
                                      ("tickets", self.handshake != "session-id")) if on}

    @property
    def unit(self):
        return "handshake" if self.handshake else "req"


JSON = b'{"status":"ok"}'
FILES = {"json": len(JSON), "4k": 4 << 10, "64k": 64 << 10, "1m": 1 << 20}


def h2(name, connections, streams, tls="", **kw):
    over = "over TLS 1.3" if tls else "clear, prior knowledge"
    what = "64 KiB body" if kw.get("body") == "64k" else "JSON"
    return Scenario(name, connections, h2=True, streams=streams, tls=tls, **kw,
                    about=f"{what}, HTTP/2 {over}, {connections} connection{'s' * (connections > 1)} × {streams} stream{'s' * (streams > 1)}")


def shake(name, tls, handshake, key="ecdsa", about=""):
    certificate = {"ecdsa": "P-256", "rsa": "RSA-2048"}[key]
    return Scenario(name, 16, tls=tls, handshake=handshake, key=key,
                    about=f"TLS {tls} handshakes, {about}, {certificate}; connecting and closing included, 16 at a time")


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
    Scenario("https-64", 64, tls="1.3", about="JSON, HTTP/1.1 over TLS 1.3, keep-alive, 64 connections"),
    Scenario("https-64k", 64, tls="1.3", body="64k", about="64 KiB body, HTTP/1.1 over TLS 1.3, 64 connections"),
    h2("h2c-1x1", 1, 1),
    h2("h2c-1x10", 1, 10),
    h2("h2c-1x100", 1, 100),
    h2("h2c-64x10", 64, 10),
    h2("h2-1x100", 1, 100, "1.3"),
    h2("h2-64x10", 64, 10, "1.3"),
    h2("h2c-64k-16x4", 16, 4, body="64k"),
    h2("h2-64k-16x4", 16, 4, "1.3", body="64k"),
    shake("tls13-ecdsa-full", "1.3", "full", about="full"),
    shake("tls13-ecdsa-resumed", "1.3", "psk", about="resumed by PSK with (EC)DHE"),
    shake("tls13-rsa-full", "1.3", "full", "rsa", about="full"),
    shake("tls12-full", "1.2", "full", about="full"),
    shake("tls12-ticket", "1.2", "ticket", about="resumed by ticket"),
    shake("tls12-session-id", "1.2", "session-id", about="resumed by session id"),
]


def write_files(root):
    """The directory every server serves. Text without structure, so that nobody gains by compressing it by accident."""
    (root / "json").write_bytes(JSON)
    for name in ("4k", "64k", "1m"):
        (root / name).write_bytes(b"x" * FILES[name])


def choose(patterns):
    """Names or shell patterns, in the order of ALL."""
    if not patterns:
        return ALL
    unknown = [p for p in patterns if not any(fnmatch(s.name, p) for s in ALL)]
    if unknown:
        raise SystemExit(f"bench: unknown scenario {', '.join(unknown)}; there are {', '.join(s.name for s in ALL)}")
    return [s for s in ALL if any(fnmatch(s.name, p) for p in patterns)]
