"""What the figures were measured on, and what about it makes them doubtful."""
import ctypes
import os
import platform
import resource
from pathlib import Path


def read(path):
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def raise_limits():
    """As many descriptors and as much locked memory as we may have; children inherit both."""
    for what, want in ((resource.RLIMIT_NOFILE, 65536), (resource.RLIMIT_MEMLOCK, resource.RLIM_INFINITY)):
        soft, hard = resource.getrlimit(what)
        for limits in ((want, want), (hard, hard)):
            if what == resource.RLIMIT_NOFILE and soft >= want:
                break
            try:
                resource.setrlimit(what, limits)
                break
            except (ValueError, OSError):
                continue


def io_uring_error():
    """None if a ring can be set up, else the reason. Asks the kernel: sysctl, seccomp and kernel age all show there."""
    params = ctypes.create_string_buffer(120)
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(425, 1, params)
    if fd < 0:
        return os.strerror(ctypes.get_errno())
    os.close(fd)
    return None


def siblings(cpu):
    return read(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")


def cpu_model():
    for line in read("/proc/cpuinfo").splitlines():
        if line.startswith("model name") or line.startswith("CPU part"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def mitigations():
    active = []
    for f in sorted(Path("/sys/devices/system/cpu/vulnerabilities").glob("*")):
        text = read(f)
        if text and text != "Not affected":
            active.append(f"{f.name}: {text}")
    return active


def describe(server_cpu, load_cpu):
    return {
        "kernel": platform.release(),
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "server_cpu": server_cpu,
        "load_cpu": load_cpu,
        "governor": read(f"/sys/devices/system/cpu/cpu{server_cpu}/cpufreq/scaling_governor") or "none visible",
        "smt": "active" if read("/sys/devices/system/cpu/smt/active") == "1" else "off",
        "virtual": "yes" if " hypervisor" in read("/proc/cpuinfo") else "no",
        "mitigations": mitigations(),
        "nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "memlock": resource.getrlimit(resource.RLIMIT_MEMLOCK)[0],
        "somaxconn": read("/proc/sys/net/core/somaxconn"),
        "load_average": read("/proc/loadavg").split()[0],
    }


def doubts(d):
    """Sentences that make a reader careful."""
    found = []
    if d["governor"] not in ("performance", "none visible"):
        found.append(f"the frequency governor is '{d['governor']}': cpupower frequency-set -g performance")
    if siblings(d["server_cpu"]) and siblings(d["server_cpu"]) == siblings(d["load_cpu"]):
        found.append("server and load share one physical core (SMT): choose others with --server-cpu and --load-cpu")
    if float(d["load_average"] or 0) > 0.5:
        found.append(f"the machine is busy (load average {d['load_average']}): figures will be noise")
    if d["nofile"] < 1024:
        found.append(f"ulimit -n is {d['nofile']}")
    if d["virtual"] == "yes":
        found.append("virtual machine: expect ±10 % between runs, read ratios")
    return found


def refuse(d):
    """A reason not to measure at all, or None."""
    if d["server_cpu"] == d["load_cpu"]:
        return "server and load need a core each; this process may use only one"
    error = io_uring_error()
    if error:
        return f"io_uring is not available here: {error} (kernel.io_uring_disabled, a container's seccomp profile, or an old kernel)"
    return None


def steal_ticks():
    """CPU time the hypervisor gave to others, in ticks, over all cores."""
    fields = read("/proc/stat").splitlines()[0].split()
    return int(fields[8]) if len(fields) > 8 else 0
