"""One cluster of two nodes for the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.distributed.ray_nodes import Nodes, ray_nodes


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with ray_nodes(2) as cluster:
        yield cluster
