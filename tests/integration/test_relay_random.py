"""The short version of bench/random_closes.py: sessions ended at random, and not a byte lost, doubled or moved."""

import multiprocessing
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench"))
import random_closes  # noqa: E402

CASES = 150


@pytest.mark.parametrize("workers", [1, 3])
def test_relay_random_closes(start_gateway, certificate, tmp_path, workers):
    both = tmp_path / "both.pem"
    with open(certificate.cert, encoding="ascii") as cert, open(certificate.key, encoding="ascii") as key:
        both.write_text(cert.read() + key.read())
    multiprocessing.set_start_method("fork", force=True)
    sites = [random_closes.Site(tmp_path, index) for index in range(2)]
    config = random_closes.config_text(both, sites).replace("[server]", f"[server]\nworkers = {workers}")
    gateway = start_gateway(config)
    seeds = range(1000 * workers, 1000 * workers + CASES)
    tally = random_closes.run_all(gateway, sites, seeds, max_size=4 << 20)
    assert not tally.failures
    assert sum(tally.cases.values()) == CASES and min(tally.cases[end] for end in random_closes.ENDS) > 0
    gateway.wait_for("session end", count=CASES)
    assert len({record["id"] for record in gateway.find("session end")}) == CASES
