"""The workload of a token and a JSON answer (bench/jwtjson, bench/layers/table): the token, the three servers, and the load over TLS."""
import base64
import hashlib
import hmac
import http.client
import json
import os
import re
import ssl
import subprocess
import sys
import time

from . import build, certificates, environment
from .measure import cpu_seconds

SECRET = "0123456789abcdef0123456789abcdef"
OURS = build.REPOSITORY / ".build/release/jwtjson-bench"
SERVERS = ["ours", "fasthttp", "net/http"]
CLAIMS = {"iss": "https://issuer.example", "sub": "user-7", "aud": ["orders"], "exp": 4102444800, "iat": 1700000000, "jti": "0f8fad5b-d9cb-469f-a165-70867728950e"}
CONTENT = b'{"status":"ok","subject":"user-7"}'


def token(header={"alg": "HS256", "typ": "JWT"}, secret=SECRET, **changes):
    part = lambda value: base64.urlsafe_b64encode(value).rstrip(b"=").decode()
    text = ".".join(part(json.dumps(v, separators=(",", ":")).encode()) for v in (header, CLAIMS | changes))
    return text + "." + ("" if header["alg"] == "none" else part(hmac.digest(secret.encode(), text.encode(), hashlib.sha256)))


GOOD = token()
REFUSED = {"no token": None, "expired": token(exp=1700000000), "another key": token(secret=SECRET[::-1]), "alg none": token({"alg": "none", "typ": "JWT"}),
           "another audience": token(aud="billing"), "another issuer": token(iss="https://evil.example"), "one byte less": GOOD[:-1]}


class Server:
    def __init__(self, name, options, directory):
        self.name = name
        pair = certificates.make("ecdsa", directory) if options.tls else None
        if name == "ours":
            argv = [OURS, SECRET, *([pair.cert, pair.key] if pair else [])]
        else:
            argv = [build.OUT / "go-jwtjson", "-secret", SECRET, *(["-cert", pair.cert, "-key", pair.key] if pair else []), *(["-fasthttp"] if name == "fasthttp" else [])]
        self.process = subprocess.Popen(["taskset", "-c", str(options.server_cpu), *map(str, argv)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        env=dict(os.environ, GOMAXPROCS="1"))
        line = self.process.stdout.readline()
        found = re.search(r"(127\.0\.0\.1:\d+)", line)
        self.address = found[1] if found else sys.exit(f"{name} did not start: {line}{self.process.stdout.read()}")
        self.tls = options.tls

    def ask(self, bearer):
        """(status, content type, content)"""
        if self.tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = http.client.HTTPSConnection(self.address, timeout=10, context=context)
        else:
            connection = http.client.HTTPConnection(self.address, timeout=10)
        connection.request("GET", "/", headers={"Authorization": f"Bearer {bearer}"} if bearer else {})
        response = connection.getresponse()
        answer = response.status, response.getheader("content-type"), response.read()
        connection.close()
        return answer

    def verify(self):
        status, kind, content = self.ask(GOOD)
        if (status, kind, content) != (200, "application/json", CONTENT):
            sys.exit(f"{self.name}: {status}, {kind}, {content} for the good token")
        for what, bearer in REFUSED.items():
            status = self.ask(bearer)[0]
            if status != 401:
                sys.exit(f"{self.name}: {status} instead of 401, {what}")

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.process.stdout.close()


def measure_clear(server, options):
    argv = ["taskset", "-c", options.load_cpu, build.OUT / "load_uring", "--connections", options.connections, "--duration", options.seconds, "--warmup", options.warmup,
            "--header", f"Authorization: Bearer {GOOD}", "--watch", server.process.pid, server.address]
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=options.seconds + 60)
    result = json.loads(done.stdout) if done.stdout.startswith("{") else sys.exit(f"{server.name}: {done.stderr}")
    if result["errors"] or not result["requests"]:
        sys.exit(f"{server.name}: {result}")
    return result["watched_cpu_seconds"] * 1e6 / result["requests"]


def h2load(server, options, *how):
    argv = ["taskset", "-c", options.load_cpu, "h2load", *how, "-c", options.connections, "-t", 1, "--npn-list", "http/1.1", "-H", f"authorization: Bearer {GOOD}", f"https://{server.address}/"]
    text = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=options.seconds + 60).stdout
    found = re.search(r"(\d+) succeeded, \d+ failed, \d+ errored", text)
    good = re.search(r"status codes: (\d+) 2xx", text)
    return int(found[1]) if found and good and found[1] == good[1] else sys.exit(f"{server.name}: {text}")


def requests_filling(server, options):
    """How many requests over TLS take about as long as a measurement should. Found by numbers of requests: given a duration, h2load is silent about lost requests, and now and then does not end."""
    wanted = options.connections * 8
    while True:
        began = time.monotonic()
        if h2load(server, options, "-n", wanted) != wanted:
            sys.exit(f"{server.name}: not all of {wanted} requests succeeded")
        took = time.monotonic() - began
        if took >= min(0.3, options.seconds):
            return max(options.connections, round(wanted / took * options.seconds))
        wanted *= 4


def measure_tls(server, options):
    """The handshakes of the connections are within the figure."""
    wanted = requests_filling(server, options)
    before = cpu_seconds(server.process.pid)
    if h2load(server, options, "-n", wanted) != wanted:
        sys.exit(f"{server.name}: not all of {wanted} requests succeeded")
    return (cpu_seconds(server.process.pid) - before) * 1e6 / wanted


def prepare(with_build, tls, packages=()):
    build.OUT.mkdir(exist_ok=True)
    if with_build:
        build.command(["swift", "build", "-c", "release", "--product", "jwtjson-bench"], cwd=build.REPOSITORY, stdout=sys.stderr)
    build.install(["golang-go", "golang-github-valyala-fasthttp-dev", "golang-github-golang-jwt-jwt-dev", *["nghttp2-client"] * tls, *packages])
    build.go("jwtjson", build.BENCH / "jwtjson/go")
    build.load_generators()
    environment.raise_limits()
