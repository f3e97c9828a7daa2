"""What is deployed is safe by default: no passwords in files, nobody runs as root, nothing but the API is published."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import ValidationError

from core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
OURS = {"migrate", "api", "worker", "beat"}
BACKENDS = {"postgres", "rabbitmq", "redis", "qdrant"}
_SECRET = re.compile(r"PASS|KEY|AUTH|SECRET|TOKEN", re.IGNORECASE)


def _services() -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return services


def _example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _dockerfile() -> list[list[str]]:
    """The instructions of the last stage, as [instruction, rest]."""
    joined = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.split(None, 1) for line in joined.splitlines() if re.match(r"[A-Z]+ ", line)]
    last = max(index for index, line in enumerate(lines) if line[0] == "FROM")
    return lines[last:]


def test_compose_has_the_services_it_should() -> None:
    services = _services()
    assert set(services) == OURS | BACKENDS
    assert services["rabbitmq"]["profiles"] == ["rabbitmq"]
    assert services["redis"]["profiles"] == ["redis"]


@pytest.mark.parametrize("name", sorted((OURS | BACKENDS) - {"migrate"}))
def test_every_lasting_service_has_a_health_check(name: str) -> None:
    check = _services()[name]["healthcheck"]
    assert check["test"]
    assert {"interval", "timeout", "start_period", "retries"} <= set(check)


def test_ambit_is_no_superuser_of_its_database() -> None:
    """Row-level security holds for nobody who is."""
    service = _services()["postgres"]
    assert service["environment"]["POSTGRES_USER"] != "ambit"
    assert "./deploy/postgres-role.sh:/docker-entrypoint-initdb.d/ambit.sh:ro" in service["volumes"]
    script = (ROOT / "deploy" / "postgres-role.sh").read_text()
    assert "CREATE ROLE ambit LOGIN NOSUPERUSER NOBYPASSRLS" in script
    assert "CREATE DATABASE ambit OWNER ambit" in script


def test_secrets_are_required_from_outside() -> None:
    for name, service in _services().items():
        for variable, value in service.get("environment", {}).items():
            if _SECRET.search(variable):
                assert re.fullmatch(r"\$\{[A-Z_]+:\?set [A-Z_]+ in \.env\}", value), f"{name}: {variable}"


def test_urls_hold_no_password_of_their_own() -> None:
    for password in re.findall(r"://[^/\s]*:([^@\s]+)@", COMPOSE.read_text()):
        assert password.startswith("${"), password


def test_every_variable_of_compose_is_in_the_example_and_secrets_are_empty_there() -> None:
    used = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", COMPOSE.read_text()))
    example = _example()
    assert used | {"COMPOSE_PROFILES", "BROKER_PASSWORD"} == set(example)
    assert [name for name, value in example.items() if _SECRET.search(name) and value] == []


def test_the_example_names_nothing_that_settings_would_read() -> None:
    assert [name for name in _example() if name.startswith("AMBIT_")] == []


def test_settings_leave_the_names_of_compose_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / ".env.example", ".env")
    with Path(".env").open("a") as file:
        file.write("POSTGRES_PASSWORD=x\nAMBIT_TENANT=here\n")
    assert Settings().tenant == "here"
    Path(".env").write_text("AMBIT_TENNANT=typo\n")
    with pytest.raises(ValidationError, match="ambit_tennant"):
        Settings()


def test_only_the_api_is_published_and_only_on_this_machine() -> None:
    published = {name: service["ports"] for name, service in _services().items() if "ports" in service}
    assert set(published) == {"api"}
    assert all(port.startswith("127.0.0.1:") for port in published["api"])


def test_backends_are_on_a_network_without_a_way_out() -> None:
    assert yaml.safe_load(COMPOSE.read_text())["networks"]["backend"]["internal"] is True
    for name in BACKENDS:
        assert _services()[name]["networks"] == ["backend"], name


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_containers_may_do_little(name: str) -> None:
    service = _services()[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert "no-new-privileges:true" in service["security_opt"]
    assert "user" not in service


def test_nothing_works_before_the_schema_is_there() -> None:
    services = _services()
    for name in OURS - {"migrate"}:
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_volumes_are_declared() -> None:
    declared = set(yaml.safe_load(COMPOSE.read_text())["volumes"])
    named = {mount.split(":")[0] for service in _services().values() for mount in service.get("volumes", [])}
    assert {name for name in named if not name.startswith(("${", "./"))} == declared


def test_qdrant_is_new_enough() -> None:
    found = re.search(r"qdrant/qdrant:v(\d+)\.(\d+)", _services()["qdrant"]["image"])
    assert found is not None
    assert (int(found[1]), int(found[2])) >= (1, 19)


def test_the_image_does_not_run_as_root_and_has_a_health_check() -> None:
    stage = dict(_dockerfile())
    assert stage["FROM"] == "python:3.11-slim"
    assert stage["USER"] not in {"root", "0"}
    assert "/healthz" in stage["HEALTHCHECK"]


def test_the_image_holds_no_secret() -> None:
    for instruction, rest in _dockerfile():
        if instruction in {"ENV", "ARG"}:
            assert not _SECRET.search(rest), rest
    assert "**/.env*" in (ROOT / ".dockerignore").read_text().splitlines()


def test_every_package_of_ours_goes_into_the_image() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= allowed


def _locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}


def test_the_lock_pins_every_direct_dependency_as_the_project_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    locked = _locked()
    for text in [*project["dependencies"], *(text for extra in extras for text in extra)]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(locked[canonicalize_name(wanted.name)]), text


def test_the_lock_suits_every_machine() -> None:
    assert _locked()["torch"] == "2.13.0"
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line), line
