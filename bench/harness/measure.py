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


def with_ours(running, scenario, options):
    argv = ["taskset", "-c", str(options.load_cpu), str(build.OUT / f"load_{options.load_io}"),
            "--connections", str(scenario.connections), "--pipeline", str(scenario.pipeline),
            "--duration", str(options.seconds), "--warmup", str(options.warmup), "--path", running.server.path(scenario)]
    if scenario.close:
        argv.append("--close")
    for pid in running.pids():
        argv += ["--watch", str(pid)]
    argv.append(f"127.0.0.1:{running.port}")
    r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=options.seconds + 60)
    if not r.stdout.startswith("{"):
        return cell(0, 1, options.seconds, 0, 0, 0, 0, warnings=r.stderr.strip())
    d = json.loads(r.stdout)
    return cell(d["requests"], d["errors"], d["seconds"], d["watched_cpu_seconds"], d["p50_us"], d["p99_us"], d["load_cpu_seconds"],
                d["response_bytes"], r.stderr.strip())


WRK_UNITS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 60e6}


def wrk_microseconds(text, percent):
    m = re.search(rf"^\s*{percent}%\s+([\d.]+)(us|ms|s|m)\s*$", text, re.M)
    return float(m[1]) * WRK_UNITS[m[2]] if m else 0.0


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
    took = float(m[2]) * WRK_UNITS[m[3]] / 1e6
    return cell(int(m[1]), errors, took, cpu, wrk_microseconds(text, 50), wrk_microseconds(text, 99), 0)


def one(running, scenario, options):
    return (with_wrk if options.load == "wrk" else with_ours)(running, scenario, options)
