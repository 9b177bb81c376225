"""packaging/install into a directory of its own; completions in the shells that are there, bash's by what it really proposes."""
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from support import PACKAGING, URINGD, judge, need, run, skip

# Asks bash's completion as readline does: words of the line, the last of them unfinished.
ASK = r'''
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMP_LINE="$*"
COMP_POINT=${#COMP_LINE}
COMP_TYPE=9
COMP_KEY=9
name=$(complete -p uringd | sed -n 's/.*-F \([^ ]*\) .*/\1/p')
"$name" uringd "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\n' "${COMPREPLY[@]}"
'''


def main():
    with tempfile.TemporaryDirectory() as name:
        root = Path(name, "stage")
        environment = dict(os.environ, DESTDIR=str(root), PREFIX="/opt/uringd", URINGD=URINGD)
        done = run(PACKAGING / "install", env=environment)
        there = sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())
        prefix = "opt/uringd/"
        judge("everything is below DESTDIR and PREFIX", done.returncode == 0 and len(there) == 8 and all(p.startswith(prefix) for p in there), (there, done.stderr))
        judge("the program runs where it is", run(root / prefix / "bin/uringd", "--version").stdout.startswith("uringd "))
        unit = (root / prefix / "lib/systemd/system/uringd.service").read_text()
        judge("the unit names it", "ExecStart=/opt/uringd/bin/uringd serve" in unit and "/usr/local" not in unit)
        bash = root / prefix / "share/bash-completion/completions/uringd"

        def proposed(*words):
            environment = dict(os.environ, PATH=f"{root / prefix / 'bin'}:{os.environ['PATH']}")
            done = subprocess.run(["bash", "-c", ASK, "bash", str(bash), *words], capture_output=True, text=True, env=environment)
            return set(done.stdout.split()), done.stderr

        for words, expected in [
            (("uringd", ""), {"serve", "reload", "check", "explain", "files", "respond", "proxy", "doctor", "schema", "top", "health"}), (("uringd", "re"), {"reload", "respond"}),
            (("uringd", "reload", "--"), {"--admin", "--pid", "--plan", "--json", "--token-file"}), (("uringd", "check", "--format", ""), {"text", "json"}),
        ]:
            found, errors = proposed(*words)
            judge(f"bash proposes for `{' '.join(words)}`", expected <= found and not errors, (expected - found, errors))
        found, _ = proposed("uringd", "re")
        judge("and nothing else", "serve" not in found, found)
        for shell, file, command in [("zsh", "share/zsh/site-functions/_uringd", ["zsh", "-n"]), ("fish", "share/fish/vendor_completions.d/uringd.fish", ["fish", "--no-execute"])]:
            if not shutil.which(shell):
                skip(f"the completion of {shell}: it is not installed")
                continue
            read = run(*command, root / prefix / file)
            judge(f"{shell} can read its completion", read.returncode == 0 and not read.stderr, read.stderr)
        if shutil.which("fish"):
            asked = run("fish", "--no-config", "-c", f"source {root / prefix / 'share/fish/vendor_completions.d/uringd.fish'}; complete -C 'uringd rel'")
            judge("fish proposes", asked.stdout.split()[:1] == ["reload"], asked)
        run(PACKAGING / "install", "--uninstall", env=environment)
        judge("--uninstall leaves nothing", not [p for p in root.rglob("*") if p.is_file()])
        missing = run(PACKAGING / "install", env=dict(environment, URINGD=str(root / "none")))
        judge("without a program it says how to make one", missing.returncode == 1 and "swift build" in missing.stderr, missing)
