"""Every row of the tables in strict/, each in four ways: plain and TLS, in one piece and one byte at a time.

All rows of a way are played at once against one gateway when the first of them is asked for; a test judges what was
seen of one.
"""

import itertools

import pytest

from strict.handshakes import HANDSHAKES
from strict.messages import MESSAGES
from strict.runner import WAYS, Table, configuration, furnish, source_addresses
from strict.verdict import judge


class Played:
    """The rows that were asked for, played a way at a time."""

    def __init__(self, gateway, table, asked):
        self.gateway, self.table, self.asked = gateway, table, asked
        self.sources = source_addresses(__name__)
        self.ways = {}

    def of(self, row, way):
        """(what was seen of the row, the last line of the log about it or None)"""
        if way.name not in self.ways:
            self.ways[way.name] = self._play(way)
        seen, ends = self.ways[way.name]
        return seen[row.name], ends.get(seen[row.name].peer)

    def _play(self, way):
        rows = [row for asked, row in self.asked if asked is way]
        mark = self.gateway.mark()
        seen = self.table.play(rows, way, list(itertools.islice(self.sources, len(rows))))
        self.gateway.check_running()
        try:
            self.gateway.wait_for("session end", since=mark, count=len(rows))
        except AssertionError:
            pass # the rows whose end is missing will say so
        ends = {record["peer"]: record for record in self.gateway.find("session end", since=mark)}
        return {row.name: one for row, one in zip(rows, seen)}, ends


@pytest.fixture(scope="module")
def played(share_gateway, certificate, request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("strict")
    furnish(directory)
    gateway = share_gateway(configuration(certificate, directory)).running()
    addresses = {name: gateway.address(name) for name in ("plain", "tls")}
    asked = [(item.callspec.params["way"], item.callspec.params["row"]) for item in request.session.items
             if item.path == request.path]
    return Played(gateway, Table(addresses, certificate.client_context(), directory), asked)


def in_every_way(rows):
    names = [row.name for row in rows]
    assert len(set(names)) == len(names), "two rows of one name"
    return pytest.mark.parametrize("way, row", [pytest.param(way, row, id=f"{row.name}-{way.name}")
                                                for way in WAYS for row in rows])


def check(played, way, row):
    wrong = judge(row, way.tls, *played.of(row, way))
    assert not wrong, f"{row.name} ({row.section}):\n" + "\n".join(wrong)


@in_every_way(HANDSHAKES)
def test_handshake(played, way, row):
    check(played, way, row)


@in_every_way(MESSAGES)
def test_message(played, way, row):
    check(played, way, row)
