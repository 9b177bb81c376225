"""Manual pages: what the program says of itself, and what man and mandoc think of them."""
import shutil

from support import PACKAGING, URINGD, judge, need, run


def main():
    if not (shutil.which("mandoc") and shutil.which("man")):
        need("mandoc", "man-db", "groff-base")
    made = run(PACKAGING / "man/make", URINGD, "--check")
    judge("the pages are what packaging/man/make writes", made.returncode == 0, made.stderr)
    for name in ("uringd.1", "uringd.yaml.5"):
        page = PACKAGING / "man" / name
        shown = run("man", "-l", "--warnings", page)
        judge(f"man --warnings {name}", shown.returncode == 0 and shown.stdout and not shown.stderr, shown.stderr)
        # Titles are those of the program, not those of mandoc's taste: style is not asked for.
        judged = run("mandoc", "-Tlint", "-W", "warning", page)
        judge(f"mandoc -Tlint {name}", judged.returncode == 0 and not judged.stdout, judged.stdout)
        text = shown.stdout
        wanted = ["NAME", "SYNOPSIS", "uringd reload [--admin addr]", "--token-file", "EXIT STATUS", "LISTEN_FDS"] if name == "uringd.1" else ["KEYS", "limits.connections", "routes[].match.path"]
        judge(f"{name} says what is looked for", all(" ".join(word.split()) in " ".join(text.split()) for word in wanted), [w for w in wanted if w not in text])
