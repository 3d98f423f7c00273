"""An authority of one test, and what it has signed: made by openssl, valid for 127.0.0.1."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from servers import program

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate and its key, both PEM files."""

    certificate: Path
    key: Path


def authority(folder: Path, name: str) -> Signed:
    """A certificate that signs others."""
    made = Signed(folder / f"{name}.pem", folder / f"{name}.key")
    _openssl("req", "-x509", *_CURVE, "-days", "2", "-subj", f"/CN={name}", *_into(made))
    return made


def signed(folder: Path, by: Signed, name: str) -> Signed:
    """A certificate for 127.0.0.1, or for a client."""
    made, request = Signed(folder / f"{name}.pem", folder / f"{name}.key"), folder / f"{name}.csr"
    extension = folder / f"{name}.ext"
    extension.write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    _openssl("req", *_CURVE, "-subj", f"/CN={name}", "-keyout", made.key, "-out", request)
    _openssl(
        *("x509", "-req", "-in", request, "-days", "2", "-extfile", extension),
        *("-CA", by.certificate, "-CAkey", by.key, "-set_serial", "2", "-out", made.certificate),
    )
    return made


def _into(made: Signed) -> tuple[str | Path, ...]:
    return "-keyout", made.key, "-out", made.certificate


def _openssl(*arguments: str | Path) -> None:
    subprocess.run([program("openssl"), *map(str, arguments)], check=True, capture_output=True, timeout=60)
