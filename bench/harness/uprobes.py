"""The time that functions of a running process take, between two probes, without what the probes themselves take.

The second probe is at the entry of the function that is called next: a probe of a return exchanges the return address on the stack, which Go's runtime does not bear when it moves a
stack. What probes take is measured on the spot, by one more between them: it differs between processes, instructions and machines, from one microsecond to more than ten."""
import json
import os
import re
import resource
import signal
import statistics
import subprocess
import time

from . import build, symbols

# Of the histograms that bpftrace keeps. What takes longer was interrupted.
HIGHEST_NS, STEP_NS = 64_000, 64


def why_not():
    if os.geteuid() != 0:
        return "uprobes need root (--no-uprobes leaves them out)"
    trial = subprocess.run(["bpftrace", "-e", "BEGIN { exit(); }"], capture_output=True, text=True, timeout=60)
    return None if trial.returncode == 0 else f"bpftrace does not run here: {trial.stderr.strip()}"


def listing(binary):
    """{function name as in the symbol table: (address, size)}"""
    text = subprocess.run(["nm", "-S", "--defined-only", binary], capture_output=True, text=True).stdout
    found = {}
    for line in text.splitlines():
        parts = line.split(" ", 3)
        if len(parts) == 4 and parts[2] in "tTwW":
            found[parts[3]] = (int(parts[0], 16), int(parts[1], 16))
    return found


def places(binary, patterns):
    """{what: (entry, entry of what is called next, entry of what is called once in between)}: names in the symbol table."""
    table = listing(binary)
    plain = dict(zip(table, subprocess.run(["swift", "demangle", "--compact"], input="\n".join(table), capture_output=True, text=True).stdout.splitlines()))

    def symbol(pattern):
        # Thunks and closures of the same name are smaller.
        names = [n for n in table if re.search(pattern, re.sub(r"^static ", "", plain.get(n, n)))]
        return max(names, key=lambda n: table[n][1], default=None) or build.fail(f"{binary} has no function like {pattern}")
    return {what: tuple(p and symbol(p) for p in triple) for what, triple in patterns.items()}


def program(binary, found, table, between):
    lines = []
    for number, (first, next_, inner) in enumerate(found.values()):
        lines.append(f"uprobe:{binary}:{table[first][0]:#x} {{ @b{number}[tid] = nsecs; }}")
        # It does what the other two do outside of the time that is taken: looks one value up, and keeps one.
        if between and inner:
            lines.append(f"uprobe:{binary}:{table[inner][0]:#x} /@b{number}[tid]/ {{ @x[tid] = nsecs; @m{number} = count(); }}")
        lines.append(f"uprobe:{binary}:{table[next_][0]:#x} /@b{number}[tid]/ {{ @n{number} = count(); @t{number} = lhist(nsecs - @b{number}[tid], 0, {HIGHEST_NS}, {STEP_NS}); "
                     f"delete(@b{number}[tid]); }}")
    return "\n".join(lines)


def maps_of(text):
    result = {}
    for line in text.splitlines():
        if line.startswith("{"):
            d = json.loads(line)
            if d.get("type") in ("map", "hist"):
                result.update({k[1:]: v for k, v in d["data"].items()})
    return result


class Timing:
    """Times functions of a process while the bodies of two `with` run: the first without, the second with a probe between. What that one adds is what the other two take, and is
    taken off: `results` is {what: (calls, median nanoseconds of one, what was taken off)} after the second."""

    def __init__(self, pid, patterns):
        self.pid = pid
        self.binary = os.readlink(f"/proc/{pid}/exe")
        self.found = places(self.binary, patterns)
        self.runs = []

    def __enter__(self):
        self.tracer = attach(self.pid, self.binary, self.found, between=bool(self.runs))
        return self

    def __exit__(self, kind, *_):
        self.runs.append(detach(self.tracer))
        if len(self.runs) < 2 or kind is not None:
            return
        without, with_ = self.runs
        ones, probes = {}, {}
        for number, (what, (_, _, inner)) in enumerate(self.found.items()):
            if not without.get(f"n{number}") or inner and not with_.get(f"m{number}"):
                build.fail(f"{self.binary}: nothing was seen of {what}")
            ones[what] = middle(without[f"t{number}"])
            if inner:
                probes[what] = (middle(with_[f"t{number}"]) - ones[what]) * with_[f"n{number}"] / with_[f"m{number}"]
        # Where nothing lies between: as the others of this process.
        self.results = {what: (without[f"n{number}"], one - (took := probes.get(what, statistics.mean(probes.values()))), took) for number, (what, one) in enumerate(ones.items())}


def attach(pid, binary, found, between):
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY,) * 2)
    except (ValueError, OSError):
        pass  # kernels from 5.11 on charge BPF memory to the cgroup instead
    table = listing(binary)
    tracer = subprocess.Popen(["bpftrace", "-f", "json", "-p", str(pid), "-e", program(binary, found, table, between)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    entries = [table[name][0] for triple in found.values() for name in triple[:2 + between] if name]
    deadline = time.monotonic() + 60
    while not all(is_probed(pid, binary, entry) for entry in entries):
        if tracer.poll() is not None or time.monotonic() > deadline:
            build.fail(f"bpftrace did not attach: {tracer.stderr.read().strip() if tracer.poll() is not None else ''}")
        time.sleep(0.05)
    time.sleep(0.3)
    return tracer


def detach(tracer):
    tracer.send_signal(signal.SIGINT)
    text, _ = tracer.communicate(timeout=60)
    return maps_of(text)


def middle(buckets):
    """The median of one of bpftrace's histograms, as if a bucket's values lay evenly in it. A mean would be that of the interruptions."""
    left = sum(b["count"] for b in buckets) / 2
    for b in buckets:
        if left <= b["count"]:
            low, high = b.get("min", 0), b.get("max", HIGHEST_NS)
            return low + (high + 1 - low) * left / max(1, b["count"])
        left -= b["count"]
    return 0.0


def is_probed(pid, binary, address):
    """Whether the instruction at an address of the binary is no longer the file's."""
    with open(binary, "rb") as f:
        data = f.read()
    offset = symbols.file_offset(data, address)
    for start, file_offset, size in symbols.mapped_files(pid).get(str(binary), []):
        if file_offset <= offset < file_offset + size:
            with open(f"/proc/{pid}/mem", "rb") as memory:
                memory.seek(start + offset - file_offset)
                return memory.read(1) != data[offset:offset + 1]
    return False
