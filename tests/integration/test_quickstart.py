"""packaging/quickstart.sh as a newcomer meets it: a port that is taken, a login by ssh, Ctrl-D in the desktop."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess

import pytest

from gateway import find_instrument, wait_until

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "packaging" / "quickstart.sh"
PARTS = ("xterm", "xauth", "Xtigervnc")


def children(pid):
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descendants(pid):
    return [found for child in children(pid) for found in [child, *descendants(child)]]


def name_of(pid):
    return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()


def cats_below(pid):
    try:
        return [child for child in descendants(pid) if name_of(child) == "cat"]
    except (FileNotFoundError, ProcessLookupError):  # one ended while it was looked at
        return []


def test_quickstart_port_in_use_is_said_before_the_build(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ["bash", str(SCRIPT), "--port", str(port)]
        done = subprocess.run(words, env=dict(os.environ, TMPDIR=str(tmp_path), NO_INSTALL="1"), capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"quickstart: port {port} is in use: choose another with --port N\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["--port", "abc"], ["--port", "0"], ["--port", "65536"], ["--port"]], ids=" ".join)
def test_quickstart_port_that_is_none(tmp_path, words):
    done = subprocess.run(["bash", str(SCRIPT), *words], env=dict(os.environ, TMPDIR=str(tmp_path), NO_INSTALL="1"), capture_output=True,
                          text=True)
    assert (done.returncode, done.stderr) == (1, "quickstart: --port needs a number from 1 to 65535\n")
    assert list(tmp_path.iterdir()) == []


def test_quickstart_help():
    done = subprocess.run(["bash", str(SCRIPT), "--help"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and "--port N" in done.stdout


@pytest.fixture
def quickstart(tmp_path):
    if find_instrument():  # it starts the gateway as anybody does, so in the sandbox
        pytest.skip(f"{find_instrument()} needs more than the sandbox has")
    if not all(map(shutil.which, PARTS)) or not os.path.exists("/usr/share/novnc/vnc.html"):
        pytest.skip("needs noVNC, TigerVNC, xauth and xterm")
    tmp_path.chmod(0o711)  # started by root the gateway is nobody, and has to come to the desktop's socket
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    said = tmp_path / "said"
    env = dict(os.environ, NO_INSTALL="1", SSH_CONNECTION="192.0.2.1 5000 192.0.2.2 2222")
    with said.open("wb") as out:
        process = subprocess.Popen(["bash", str(SCRIPT), "--port", str(port)], env=env, stdin=subprocess.DEVNULL, stderr=out)
    wait_until(lambda: "Ctrl-C ends" in said.read_text() or process.poll() is not None)
    yield process, port, said.read_text()
    process.terminate()
    process.wait()


def test_quickstart_over_ssh_and_ctrl_d(quickstart):
    process, port, said = quickstart
    assert f"http://localhost:{port}/vnc.html" in said
    assert f"ssh -p 2222 -L {port}:localhost:{port} " in said and "@192.0.2.2" in said
    wait_until(lambda: cats_below(process.pid))
    first = cats_below(process.pid)
    for pid in first:
        os.kill(pid, signal.SIGTERM)  # Ctrl-D ends it, too
    wait_until(lambda: set(cats_below(process.pid)) - set(first))
    assert process.poll() is None
