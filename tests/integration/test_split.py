"""It does not matter how a client's bytes are cut: whole sessions from a seed, each in one piece and in random ones.

SPLIT_STREAMS says how many (default 400), SPLIT_SEED which (default 1): the same seed makes the same sessions and the
same cuts. What the gateway makes of both must be the same, from the answer to the bytes at the backend.
"""

import collections
import itertools
import os

import pytest

from strict import streams, wire
from strict.runner import Table, Way, configuration, furnish, source_addresses

STREAMS = int(os.environ.get("SPLIT_STREAMS", "400"))
SEED = int(os.environ.get("SPLIT_SEED", "1"))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("split")
    furnish(path)
    return path


@pytest.fixture(scope="module")
def shared(share_gateway, certificate, directory):
    return share_gateway(configuration(certificate, directory))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_split(gw, certificate, directory, tls):
    table = Table({name: gw.address(name) for name in ("plain", "tls")}, certificate.client_context(), directory)
    sources = source_addresses(f"{__name__} {tls}")
    first = SEED * 1_000_000 + (STREAMS // 2 if tls else 0)
    rows = [streams.make(seed, tls) for seed in range(first, first + STREAMS // 2)]
    whole, cut = (table.play(rows, Way(name, tls, split), list(itertools.islice(sources, len(rows))))
                  for name, split in (("whole", wire.whole), ("cut", wire.random_cuts(SEED))))
    wrong = [words for words in map(streams.disagreement, rows, whole, cut) if words]
    kinds = collections.Counter(streams.kind_of(streams.observed(*pair)) for pair in zip(rows, whole))
    print(f"{len(rows)} streams, {len(wrong)} disagreements; ends:", ", ".join(f"{k} {n}" for k, n in kinds.most_common()))
    assert not wrong, f"{len(wrong)} of {len(rows)}:\n" + "\n".join(wrong[:10])
    if STREAMS >= 400:
        ends = {"1000", "1002", "1003", "1007", "1009", "400", "open to the end"}
        assert ends <= set(kinds), "some kind of end never came"
