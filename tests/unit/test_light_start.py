"""What a server loads to start: nothing that only some installations have or need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNNEEDED = ("torch", "transformers", "llama_index", "unstructured", "pandas", "alembic", "scim2_models")
OPTIONAL = ("psycopg", "celery", "kombu", "qdrant_client", "grpc", "fsspec", "pymysql", "ir_measures")


def test_an_app_is_made_over_a_migrated_database_without_them(sqlite_url: str, tmp_path: Path) -> None:
    code = f"""
import sys
for name in {OPTIONAL!r}:
    sys.modules[name] = None  # as where it is not installed
from api.app import create_app
from api.runtime import Runtime
from core.settings import Settings
runtime = Runtime(Settings(_env_file=None, data_dir={str(tmp_path)!r}))
runtime.prepare()
create_app(runtime, ready=dict)
runtime.close()
loaded = [name for name in {UNNEEDED!r} if name in sys.modules]
assert not loaded, loaded
"""
    assert sqlite_url == f"sqlite:///{tmp_path}/ambit.db"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
