import socket
from pathlib import Path

from nextclick.stack.ports import HOST, choose_ports


def test_ports_are_distinct_and_kept_while_they_are_free(tmp_path: Path) -> None:
    first = choose_ports(tmp_path / "ports.json", ["broker", "controller"])
    assert len(set(first.values())) == 2
    assert choose_ports(tmp_path / "ports.json", ["broker", "controller"]) == first


def test_a_port_that_somebody_else_listens_on_is_replaced(tmp_path: Path) -> None:
    first = choose_ports(tmp_path / "ports.json", ["redis"])
    with socket.create_server((HOST, first["redis"])):
        second = choose_ports(tmp_path / "ports.json", ["redis"])
    assert second["redis"] != first["redis"]
    assert choose_ports(tmp_path / "ports.json", ["redis"]) == second


def test_an_unreadable_note_of_ports_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    for content in ("", "[1]", '{"redis": "x"}', '{"redis": 99999999}'):
        path.write_text(content)
        with socket.create_server((HOST, choose_ports(path, ["redis"])["redis"])):
            pass
