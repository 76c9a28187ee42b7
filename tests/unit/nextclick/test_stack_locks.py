import re
import tomllib

from nextclick.stack import kafka_install, triton_install


def test_every_jar_is_locked_by_its_hash_and_kafka_comes_with_its_own_client() -> None:
    dependencies = tomllib.loads(kafka_install.LOCK_FILE.read_text())["dependencies"]
    assert all(re.fullmatch("[0-9a-f]{64}", dependency["sha256"]) for dependency in dependencies)
    versions = {dependency["artifactId"]: dependency["version"] for dependency in dependencies}
    assert versions["kafka-clients"] == versions["kafka_2.13"] == versions["kafka-server"]
    assert f"kafka_2.13:{versions['kafka_2.13']}+" in kafka_install.ENDPOINT


def test_every_package_of_triton_is_locked_by_its_hash_and_numpy_stays_below_2() -> None:
    requirements = triton_install.LOCK_FILE.read_text().replace("\\\n", " ").splitlines()
    assert all(re.match(r"[a-z0-9-]+==", line) and "--hash=sha256:" in line for line in requirements)
    names = dict(line.split(" ")[0].split("==") for line in requirements)
    assert {"nvidia-pytriton", "onnxruntime"} <= names.keys()
    assert names["numpy"].startswith("1.")


def test_the_lock_files_name_no_host() -> None:
    for path in (kafka_install.LOCK_FILE, triton_install.LOCK_FILE):
        assert "://" not in path.read_text()
