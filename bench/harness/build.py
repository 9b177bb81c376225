"""Building what is measured and what measures. Everything goes to bench/.out, which git ignores."""
import os
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
REPOSITORY = BENCH.parent
OUT = BENCH / ".out"

OWN_PACKAGES = ["gcc", "libc6-dev", "openssl"]
PEER_PACKAGES = {
    "nginx": ["nginx-light"],
    "h2o": ["h2o"],
    "haproxy": ["haproxy"],
    "nghttpd": ["nghttp2-server"],
    "fasthttp": ["golang-go", "golang-github-valyala-fasthttp-dev"],
    "nethttp": ["golang-go"],
}

C_FLAGS = ["-std=gnu11", "-O2", "-Wall", "-Wextra"]
OPENSSL = ("ssl", "crypto")
LOAD_SOURCES = ["load", "options", "drive", "idle", "report", "response"]


def fail(message):
    sys.exit(f"bench: {message}")


def command(argv, **kw):
    result = subprocess.run([str(a) for a in argv], **kw)
    if result.returncode != 0:
        fail(f"'{' '.join(str(a) for a in argv)}' failed with status {result.returncode}")


def install(packages):
    command([REPOSITORY / ".ci/packages", *dict.fromkeys(packages)])


def compile_c(output, sources, libraries=("uring",)):
    command(["gcc", *C_FLAGS, "-o", OUT / output, *[BENCH / s for s in sources], *[f"-l{l}" for l in libraries]])


def floors():
    OUT.mkdir(exist_ok=True)
    for name in ("epoll", "uring"):
        compile_c(f"floor_{name}", [f"floor/floor_{name}.c"])
    compile_c("floor_openssl", ["floor/floor_openssl.c"], OPENSSL)


def load_generators():
    OUT.mkdir(exist_ok=True)
    for io in ("epoll", "uring"):
        compile_c(f"load_{io}", [f"load/{s}.c" for s in LOAD_SOURCES] + [f"load/io_{io}.c"])
    compile_c("handshake", ["load/handshake.c", "load/response.c"], OPENSSL)


def go_peer(name):
    go(name, BENCH / "peers" / f"go-{name}")


def go(name, directory):
    """Debian's Go libraries lie in a GOPATH, hence module mode off."""
    OUT.mkdir(exist_ok=True)
    env = dict(os.environ, GO111MODULE="off", GOPATH="/usr/share/gocode", GOFLAGS="")
    env.setdefault("HOME", str(OUT))
    env.setdefault("GOCACHE", str(OUT / "go-cache"))
    command(["go", "build", "-o", OUT / f"go-{name}", "."], cwd=directory, env=env)


def uringd():
    command(["swift", "build", "-c", "release", "--product", "uringd"], cwd=REPOSITORY)


def uringd_path():
    return REPOSITORY / ".build/release/uringd"
