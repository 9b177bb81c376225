"""One measurement: the load generator against one running server, and the server's CPU time meanwhile."""
import json
import re
import subprocess
import time

from . import build


def cpu_seconds(pid):
    """User and system time of a process and all its threads, to the nanosecond: the kernel's CPU-time clock of another
    process (clock_getcpuclockid(3): the complement of the pid, shifted, with 2 for CPUCLOCK_SCHED). /proc/PID/stat counts in
    10 ms and /proc/PID/schedstat lags by up to a tick while the process runs."""
    return time.clock_gettime((~pid << 3) | 2)


def cell(requests, errors, seconds, cpu, p50, p99, load_cpu, response_bytes=0, warnings=""):
    return {
        "requests": requests, "errors": errors, "seconds": seconds, "rps": requests / seconds if seconds else 0,
        "cpu_us": cpu * 1e6 / requests if requests else 0.0, "cpu_share": cpu / seconds if seconds else 0,
        "p50_us": p50, "p99_us": p99, "load_share": load_cpu / seconds if seconds else 0,
        "response_bytes": response_bytes, "warnings": warnings,
    }


def generator(argv, cpu, options):
    """Runs one of our programs and reads its line of JSON."""
    argv = ["taskset", "-c", str(cpu), *[str(a) for a in argv]]
    r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=options.seconds + 60)
    if not r.stdout.startswith("{"):
        return cell(0, 1, options.seconds, 0, 0, 0, 0, warnings=r.stderr.strip())
    d = json.loads(r.stdout)
    return cell(d["requests"], d["errors"], d["seconds"], d["watched_cpu_seconds"], d["p50_us"], d["p99_us"], d["load_cpu_seconds"],
                d["response_bytes"], r.stderr.strip())


def window(options):
    return ["--duration", options.seconds, "--warmup", options.warmup]


def target(running):
    return [a for pid in running.pids() for a in ("--watch", pid)] + [f"127.0.0.1:{running.port}"]


def with_ours(running, scenario, options):
    argv = [build.OUT / f"load_{options.load_io}", "--connections", scenario.connections, "--pipeline", scenario.pipeline,
            "--path", running.server.path(scenario), *window(options)]
    if scenario.close:
        argv.append("--close")
    return generator(argv + target(running), options.load_cpu, options)


def with_handshakes(running, scenario, options):
    argv = [build.OUT / "handshake", "--connections", scenario.connections, "--tls", scenario.tls, "--resumption", scenario.handshake,
            *window(options)]
    return generator(argv + target(running), options.load_cpu, options)


def standalone(running, scenario, options):
    """Has no counterpart: it runs where the servers run."""
    return generator(running.server.argv(scenario, 0, running.context) + window(options), options.server_cpu, options)


UNITS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 60e6}


def wrk_microseconds(text, percent):
    m = re.search(rf"^\s*{percent}%\s+([\d.]+)(us|ms|s|m)\s*$", text, re.M)
    return float(m[1]) * UNITS[m[2]] if m else 0.0


def with_wrk(running, scenario, options):
    """wrk counts whole seconds only and has no warm-up; opening the connections is part of what the server is charged."""
    seconds = max(1, round(options.seconds))
    argv = ["taskset", "-c", str(options.load_cpu), "wrk", "-t1", f"-c{scenario.connections}", f"-d{seconds}s", "--latency"]
    if scenario.close:
        argv += ["-H", "Connection: close"]
    if scenario.pipeline > 1:
        argv += ["-s", str(build.BENCH / "load/pipeline.lua")]
    argv.append(f"http://127.0.0.1:{running.port}{running.server.path(scenario)}")
    if scenario.pipeline > 1:
        argv += ["--", str(scenario.pipeline)]
    pids = running.pids()
    before = sum(cpu_seconds(p) for p in pids)
    load = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    text, _ = load.communicate(timeout=seconds + 60)
    cpu = sum(cpu_seconds(p) for p in pids) - before
    m = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)", text)
    if not m:
        return cell(0, 1, seconds, 0, 0, 0, 0, warnings=text.strip())
    errors = sum(int(n) for n in re.findall(r"(?:connect|read|write|timeout) (\d+)", text))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors += int(bad[1]) if bad else 0
    took = float(m[2]) * UNITS[m[3]] / 1e6
    return cell(int(m[1]), errors, took, cpu, wrk_microseconds(text, 50), wrk_microseconds(text, 99), 0)


H2LOAD = ["h2load", "-t1", "--ciphers=ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256",
          "--tls13-ciphers=TLS_AES_128_GCM_SHA256", "--groups=X25519:P-256"]


def h2load(running, scenario, options, amount):
    """Its output, and how many requests succeeded."""
    url = f"{'https' if scenario.tls else 'http'}://127.0.0.1:{running.port}{running.server.path(scenario)}"
    argv = ["taskset", "-c", str(options.load_cpu), *H2LOAD, f"-c{scenario.connections}", f"-m{scenario.streams}", amount,
            *([] if scenario.h2 else ["--h1"]), url]
    text = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=options.seconds * 10 + 60).stdout
    found = re.search(r"status codes: (\d+) 2xx", text)
    counts = re.search(r"(\d+) succeeded", text)
    return text, min(int(found[1]), int(counts[1])) if found and counts else 0


def with_h2load(running, scenario, options):
    """What wrk cannot: HTTP/2 and HTTP/1.1 over TLS. Given a duration, h2load is silent about requests that a lost connection
    takes with it; given a number, all of them must have succeeded. A short run by duration warms up and says what number
    takes about the seconds wanted. The server is charged for everything from h2load's start to its end. h2load knows no
    percentiles: p50 is the mean, p99 the largest."""
    trial = max(0.2, options.warmup)
    text, succeeded = h2load(running, scenario, options, f"-D{round(trial * 1000)}ms")
    if not succeeded:
        return cell(0, 1, trial, 0, 0, 0, 0, warnings=text.strip()[-500:])
    wanted = max(scenario.connections * scenario.streams, round(succeeded / trial * options.seconds))
    try:
        before, began = sum(cpu_seconds(p) for p in running.pids()), time.monotonic()
        text, succeeded = h2load(running, scenario, options, f"-n{wanted}")
        cpu, took = sum(cpu_seconds(p) for p in running.pids()) - before, time.monotonic() - began
    except OSError:
        return cell(0, wanted, options.seconds, 0, 0, 0, 0, warnings="the server has ended")
    times = re.search(r"time for request:\s+\S+\s+([\d.]+)(us|ms|s|m)\s+([\d.]+)(us|ms|s|m)", text)
    largest, mean = (float(times[1]) * UNITS[times[2]], float(times[3]) * UNITS[times[4]]) if times else (0, 0)
    warning = "" if succeeded == wanted else text.strip()[-500:]
    return cell(succeeded, wanted - succeeded, took, cpu, mean, largest, 0, warnings=warning)


def one(running, scenario, options):
    if running.server.standalone:
        return standalone(running, scenario, options)
    if scenario.handshake:
        return with_handshakes(running, scenario, options)
    if scenario.by_h2load:
        return with_h2load(running, scenario, options)
    return (with_wrk if options.load == "wrk" else with_ours)(running, scenario, options)
