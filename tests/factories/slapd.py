"""A real slapd on loopback with people and groups of its own, and certificates that it shows."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.factories.certificates import write_certificates

PROGRAM = shutil.which("slapd") or shutil.which("slapd", path="/usr/sbin")
HOW = "slapd is not installed: apt-get install slapd ldap-utils"
BASE, ADMIN, PASSWORD = "dc=example,dc=com", "cn=admin,dc=example,dc=com", "hunter2"

CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {home}/pid
argsfile {home}/args
TLSCACertificateFile {home}/ca.pem
TLSCertificateFile {home}/cert.pem
TLSCertificateKeyFile {home}/key.pem
sizelimit {limit}
database mdb
maxsize 67108864
suffix "dc=example,dc=com"
rootdn "cn=root,dc=example,dc=com"
rootpw hunter2
directory {home}/db
access to * by dn.exact="cn=admin,dc=example,dc=com" read by anonymous auth
"""

TREE = """
dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: cn=admin,dc=example,dc=com
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: admin
userPassword: hunter2

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=com
objectClass: organizationalUnit
ou: groups
"""


@dataclass
class Slapd:
    """A running server; `apply` changes it with LDIF as `ldapmodify` takes it."""

    home: Path
    port: int
    tls_port: int

    def apply(self, ldif: str) -> None:
        url = f"ldap://127.0.0.1:{self.port}"
        command = ["ldapmodify", "-x", "-H", url, "-D", "cn=root,dc=example,dc=com", "-w", PASSWORD]
        done = subprocess.run(command, input=ldif, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr

    def person(self, name: str, **more: str) -> None:
        lines = [f"dn: uid={name},ou=people,{BASE}", "changetype: add", "objectClass: inetOrgPerson"]
        told = {"uid": name, "cn": name, "sn": name, "mail": f"{name}@example.org", **more}
        self.apply("\n".join([*lines, *(f"{key}: {value}" for key, value in told.items()), ""]))

    def group(self, name: str, *members: str) -> None:
        lines = [f"dn: cn={name},ou=groups,{BASE}", "changetype: add", "objectClass: groupOfNames", f"cn: {name}"]
        self.apply("\n".join([*lines, *(f"member: {one}" for one in members), ""]))

    def delete(self, dn: str) -> None:
        self.apply(f"dn: {dn}\nchangetype: delete\n")


def uid(name: str) -> str:
    return f"uid={name},ou=people,{BASE}"


def cn(name: str) -> str:
    return f"cn={name},ou=groups,{BASE}"


def needed() -> str:
    """The program; skips where it cannot run, or fails where services are required."""
    if PROGRAM is None or shutil.which("ldapmodify") is None:
        if os.environ.get("AMBIT_TEST_REQUIRE_SERVICES") == "1":
            pytest.fail(HOW, pytrace=False)
        pytest.skip(HOW)
    return PROGRAM


@contextmanager
def running(*, limit: str = "unlimited", name: str = "localhost") -> Iterator[Slapd]:
    """A server whose certificate bears `name`, and that gives at most `limit` entries of a search."""
    program = needed()
    home = Path(tempfile.mkdtemp(prefix="ambit-slapd-"))
    (home / "db").mkdir()
    write_certificates(home, name)
    (home / "slapd.conf").write_text(CONFIG.format(home=home, limit=limit))
    port, tls_port = _free(), _free()
    slapadd = shutil.which("slapadd") or "/usr/sbin/slapadd"
    subprocess.run([slapadd, "-f", home / "slapd.conf"], input=TREE, text=True, check=True, capture_output=True)
    urls = f"ldap://127.0.0.1:{port} ldaps://127.0.0.1:{tls_port}"
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([program, "-f", home / "slapd.conf", "-h", urls, "-d", "0"], stderr=log)
    try:
        _wait(port, home / "log")
        yield Slapd(home, port, tls_port)
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(home, ignore_errors=True)


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _wait(port: int, log: Path) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"slapd did not start: {log.read_text() if log.exists() else 'no log'}")
