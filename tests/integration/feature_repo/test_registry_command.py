"""`python -m feature_repo`, as a deployment runs it before anything else starts."""

import os
import subprocess
import sys
from pathlib import Path


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "feature_repo"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_new_registry_is_filled_and_a_filled_one_is_left_alone(tmp_path: Path) -> None:
    environment = {"NEXTCLICK_HOME": str(tmp_path), "REGISTRY_URL": f"sqlite:///{tmp_path}/r.db"}
    first, second = run(**environment), run(**environment)
    assert (first.returncode, first.stdout) == (0, "feature definitions applied\n"), first.stderr
    assert (second.returncode, second.stdout) == (0, "feature definitions were up to date\n")


def test_a_registry_out_of_reach_is_one_line_without_the_password(tmp_path: Path) -> None:
    absent = tmp_path / "absent" / "r.db"
    url = f"sqlite:///{absent}?password=hunter2"
    result = run(NEXTCLICK_HOME=str(tmp_path), REGISTRY_URL=url, LOG_LEVEL="DEBUG")
    assert result.returncode == 1
    assert "REGISTRY_URL cannot be used" in result.stderr.splitlines()[-1]
    assert "hunter2" not in result.stderr
    assert "Traceback" not in result.stderr


def test_a_missing_driver_is_one_line(tmp_path: Path) -> None:
    result = run(NEXTCLICK_HOME=str(tmp_path), REGISTRY_URL="oracle://user:hunter2@127.0.0.1/feast")
    assert result.returncode == 1
    assert "is not installed here: REGISTRY_URL" in result.stderr.splitlines()[-1]
    assert "hunter2" not in result.stderr
