"""What no client may bring about, as the scripts in tests/ prove it with large numbers; here with small ones."""

import os
import subprocess
import sys

import pytest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def run(command, cwd):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ssrf(tmp_path, sanitizer):
    """Whatever a client names, the gateway connects to what its configuration names."""
    if sanitizer == "thread":
        pytest.skip("the thread sanitizer must be the first library")
    run([sys.executable, os.path.join(TESTS, "ssrf.py"), "4000", "1"], tmp_path)


def test_static_escape(tmp_path):
    """Thousands of forms of paths, and links swapped while they are followed, show nothing from outside of a web root."""
    run([sys.executable, os.path.join(TESTS, "static_escape.py"), "4000"], tmp_path)


def test_tls_strict(tmp_path):
    """What openssl s_client finds out; testssl.sh is left to the script itself."""
    env = {"NO_INSTALL": "1", "ARTIFACTS": str(tmp_path)}
    run(["env", *(f"{name}={value}" for name, value in env.items()), "bash", os.path.join(TESTS, "tls.sh"), "quick"], tmp_path)
