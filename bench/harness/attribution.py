"""Which layer a moment of a server's time belongs to: perf samples call stacks, and the innermost function that a layer claims decides.

Works without probes and without changes to the servers. What it needs: perf, permission to sample another process (root, or kernel.perf_event_paranoid below 1), and symbols
in the servers' binaries."""
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

# In the order of the table. Patterns are of function names as `swift demangle` and Go write them. The innermost frame that any of them claims decides; between patterns that claim
# the same frame, the first. Frames of the kernel are the kernel's whoever called it.
LAYERS = [
    ("kernel", r"^\[kernel\]"),
    # Collection that runs beside requests, and the part of it that allocating requests are made to do.
    ("garbage collection", r"^runtime\.(gcBgMarkWorker|gcAssistAlloc|gcDrain|bgsweep|bgscavenge|gcStart|gcMarkTermination|gcMarkDone|sweepone|gcWriteBarrier|wbBufFlush)"),
    ("memory allocation", r"^runtime\.(mallocgc|newobject|makeslice|growslice|newarray|makemap|slicebytetostring|stringtoslicebyte|concatstring|rawstring|rawbyteslice|convT)"
                          r"|^(_*(libc_)?(malloc|calloc|realloc|free|memalign)\b|_int_(malloc|free|realloc)|malloc_consolidate|cfree|tcache_|swift_(slow)?(alloc|dealloc)|swift_allocObject|swift_(retain|release))"
                          r"|CRYPTO_(zalloc|malloc|free|realloc)|UringBase\.(Arena|ChunkPool)\."),
    ("TLS handshake", r"crypto/tls\.\(\*Conn\)\.(Handshake|handshakeContext|serverHandshake)|UringTLS\.TLSSession\.handshake|^SSL_do_handshake|UringServer\.Loop\.(handshake|beginHandshake|shake)"),
    ("TLS record", r"crypto/tls\.\(\*(Conn|halfConn)\)\.|UringTLS\.|^SSL_(read|write|peek)|UringServer\.Loop\.(receivedSealed|seal|readSealed)|UringServer\.TLSTransport"),
    ("token", r"golang-jwt/jwt|UringJWT\.|UringServerJWT\.|^HMAC|^main\.key$"),
    ("parse", r"^net/http\.(readRequest|ReadRequest|\(\*conn\)\.readRequest|parseRequestLine|readTransfer|fixPragmaCacheControl|\(\*body\))|^net/textproto\.|^net/url\.|valyala/fasthttp\.\(\*RequestHeader\)\.(parse|tryRead|Read)"
              r"|valyala/fasthttp\.(headerScanner|\(\*headerScanner\)|nextLine|parseURI|\(\*URI\))|valyala/fasthttp\.\(\*Request\)\.(readLimitBody|ContinueReadBody|ReadLimitBody)|UringHTTP1\.(RequestParser|FieldSectionParser|FramingFields)|UringHTTP\.(TargetView|KnownField|Authority|RequestHead)|curing_scan"),
    ("handler and serialise", r"^main\.|^encoding/json\.|^net/http\.(\(\*response\)|\(\*chunkWriter\)|\(\*checkConnErrorWriter\)|Header\.|serverHandler|HandlerFunc|\(\*conn\)\.serve\.func|extraHeader)|^net/http\.\(extraHeader\)"
                              r"|valyala/fasthttp\.(\(\*Response|\(\*RequestCtx|writeResponse|\(\*Server\)\.writeFastError|\(\*argsKV|appendHeaderLine|\(\*ResponseHeader)"
                              r"|UringServer\.(CompiledRouter|RouteTrie|Router|JSONText|JSONObject|JSONArray|Response|Headers|Middleware|RouteEndpoint|Responder|GrowingBytes)|UringHTTP1\.Response|jwtjson_bench|UringServer\.Loop\.(respond|answer|encode|callHandler|runHandler)"),
    ("loop, scheduler and the rest", r""),
]
NAMES = [name for name, _ in LAYERS]
_COMPILED = [(name, re.compile(pattern)) for name, pattern in LAYERS[:-1]]
_known = {}

# For each server one function per layer whose whole time two methods can compare: it waits for nothing. With it for uprobes: the function that is called next when it has returned, and one that
# is called within it, once; None where there is none. The record is opened by ours and sealed by Go's: methods are compared, not servers.
_TOKEN_GO = (r"^github\.com/golang-jwt/jwt\.\(\*Parser\)\.ParseWithClaims$", r"^encoding/json\.Marshal$", r"^github\.com/golang-jwt/jwt\.\(\*SigningMethodHMAC\)\.Verify$")
_RECORD_GO = (r"^crypto/tls\.\(\*halfConn\)\.encrypt$", r"^crypto/tls\.\(\*Conn\)\.write$", r"^crypto/tls\.\(\*xorNonceAEAD\)\.Seal$")
FUNCTIONS = {
    "ours": {"parse": (r"UringHTTP1\.RequestParser\.parse\(", r"UringServer\.CompiledRouter\.handle\(", None),
             "token": (r"UringJWT\.JWTVerifier\.verify\(_", r"UringServer\.JSONObject\.write\(Swift\.String, Swift\.String\?\)",
                       r"UringJWT\.JWTVerifier\.authenticate\("),
             "a record": (r"^UringTLS\.TLSSession\.feed\(", r"UringHTTP1\.RequestParser\.parse\(", r"closure #1 .* in UringTLS\.TLSSession\.read\(")},
    "fasthttp": {"parse": (r"^github\.com/valyala/fasthttp\.\(\*RequestHeader\)\.parse$", r"^bufio\.\(\*Reader\)\.Discard$", r"^github\.com/valyala/fasthttp\.\(\*RequestHeader\)\.parseFirstLine$"),
                 "token": _TOKEN_GO, "a record": _RECORD_GO},
    "net/http": {"parse": (r"^net/textproto\.(\(\*Reader\)\.)?(R|r)eadMIMEHeader$", r"^net/http\.readTransfer$", r"^net/textproto\.\(\*Reader\)\.upcomingHeaderKeys$"),
                 "token": _TOKEN_GO, "a record": _RECORD_GO},
}


# Of what lies between the two probes, where it is more than the function.
SAMPLED = {("ours", "a record"): r"^UringTLS\.TLSSession\.(feed|read)\("}


def _layer_of_frame(frame):
    if frame not in _known:
        _known[frame] = next((name for name, pattern in _COMPILED if pattern.search(frame)), None)
    return _known[frame]


def layer(stack):
    """The layer of a stack, innermost frame first."""
    return next((name for name in map(_layer_of_frame, stack) if name), NAMES[-1])


def is_within(frame, pattern):
    return re.search(pattern, frame) is not None


def why_not():
    """What keeps perf from sampling here, or None."""
    done = subprocess.run(["perf", "record", "-q", "-e", "cpu-clock", "-o", "/dev/null", "true"], capture_output=True, text=True)
    return None if done.returncode == 0 else f"perf cannot sample here: {done.stderr.strip()}"


class Sampling:
    """Samples a process while the body of `with` runs. `samples` is {stack: count} afterwards."""

    def __init__(self, pid, frequency, is_go):
        self.pid, self.frequency = pid, frequency
        # Go keeps frame pointers. OpenSSL does not: there perf copies the stack and unwinds it with the tables for exceptions.
        self.graph = "fp" if is_go else "dwarf,8192"

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory()
        self.file = Path(self.directory.name) / "perf.data"
        self.process = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", str(self.frequency), "--call-graph", self.graph, "-p", str(self.pid), "-o", self.file],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        # The file has its header when the events are open.
        deadline = time.monotonic() + 20
        while not (self.file.exists() and self.file.stat().st_size > 0):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"perf does not begin: {self.process.stderr.read() if self.process.poll() is not None else 'no data'}")
            time.sleep(0.02)
        time.sleep(0.2)
        return self

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate(timeout=60)
        if kind is None:
            self.samples = read(self.file)
            if not self.samples:
                raise RuntimeError(f"perf saw nothing: {errors}")
        self.directory.cleanup()


def read(file):
    """{stack as a tuple of function names, innermost first: how many samples}"""
    text = subprocess.run(["perf", "script", "-i", file, "--no-inline", "-F", "comm,ip,sym,dso"], capture_output=True, text=True, errors="replace").stdout
    samples, stack = {}, []
    for line in text.splitlines() + [""]:
        if not line.strip():
            if stack:
                samples[tuple(stack)] = samples.get(tuple(stack), 0) + 1
            stack = []
            continue
        # `    7f12ab34 name+0x12 (/path)`; the line with the command's name has no address.
        found = re.match(r"\s+[0-9a-f]+ (.*) \(([^()]*)\)$", line)
        if found:
            name = found[1].strip()
            stack.append("[kernel] " + name if found[2].startswith("[kernel") or found[2] == "[guest.kernel]" or found[2].endswith(".ko") else name)
        elif not line.startswith((" ", "\t")):
            stack = []
    return demangle(samples)


def demangle(samples):
    """Names of Swift as the source has them."""
    names = sorted({frame for stack in samples for frame in stack if frame.startswith("$s")})
    if not names:
        return samples
    done = subprocess.run(["swift", "demangle", "--compact"], input="\n".join(names), capture_output=True, text=True)
    plain = done.stdout.splitlines()
    if len(plain) != len(names):
        return samples
    # What the optimiser has made of a function is that function; methods are `static` or not.
    clean = lambda text: re.sub(r"^(static |closure #\d+ .* in |function signature specialization .*? of |generic specialization .*? of |merged |outlined .* of |partial apply forwarder for )+", "", text)
    of = dict(zip(names, map(clean, plain)))
    result = {}
    for stack, count in samples.items():
        stack = tuple(of.get(frame, frame) for frame in stack)
        result[stack] = result.get(stack, 0) + count
    return result
