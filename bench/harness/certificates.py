"""The certificates all servers of a run share: made at run time by openssl, P-256 and RSA-2048, self-signed."""
from dataclasses import dataclass
from pathlib import Path

from . import build

KINDS = {"ecdsa": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["-newkey", "rsa:2048"]}


@dataclass(frozen=True)
class Certificate:
    cert: Path
    key: Path
    both: Path  # in one file, as HAProxy wants it


def make(kind, directory):
    """Once per run and kind."""
    c = Certificate(*(directory / f"{kind}.{end}.pem" for end in ("cert", "key", "both")))
    if not c.both.exists():
        build.command(["openssl", "req", "-x509", "-nodes", "-days", "7", "-subj", "/CN=localhost", "-addext",
                       "subjectAltName=DNS:localhost", *KINDS[kind], "-keyout", c.key, "-out", c.cert], stderr=build.subprocess.DEVNULL)
        c.both.write_bytes(c.cert.read_bytes() + c.key.read_bytes())
        c.both.chmod(0o600)
    return c
