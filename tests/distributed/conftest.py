"""One cluster of two nodes for all tests here: who kills a node adds another one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.distributed.ray_nodes import Nodes, ray_nodes


@pytest.fixture(scope="session")
def nodes() -> Iterator[Nodes]:
    with ray_nodes(2) as cluster:
        yield cluster
