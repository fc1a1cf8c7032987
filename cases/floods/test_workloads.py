# SPDX-License-Identifier: BSD-3-Clause
"""What guests do all day, measured as the floods are: rows W01 to W07 of README.md. Each byte that
the device moves is compared."""

import pytest
from guests import play

from vuc import covers, needs

pytestmark = needs("process", "proc", "reconnect", "dma_maps", "provoke_dma")

OPERATIONS = 2000
LEAST = 64
SERVED = covers("LIM-BOUND-001", "LIM-RECOVER-001", "LIM-OTHERS-001")
REFUSED = covers("LIM-BOUND-001", "LIM-REFUSE-001", "LIM-RECOVER-001", "LIM-OTHERS-001")


@pytest.fixture
def guest(scene):
    """Plays a workload by name, with so many operations for each page that it works with."""
    def begin(name, part=16):
        count = scene.count(OPERATIONS, LEAST)
        scene.start("operation")
        play(scene, name, count, count // part)

    return begin


@SERVED
def test_w01_memory_that_stands_where_the_guest_has_it(guest):
    guest("identity")


@SERVED
def test_w02_page_that_is_mapped_for_each_transfer(guest):
    guest("churn")


@SERVED
def test_w03_transfers_all_go_through_one_pool(guest):
    guest("bounce")


@REFUSED
def test_w04_pages_that_are_pinned_until_there_is_no_room(guest):
    guest("pins")


@REFUSED
def test_w05_queue_of_pages_to_unmap_is_flushed_when_there_is_no_room(guest):
    guest("lazy", 8)


@SERVED
def test_w06_lists_of_pages_are_mapped_for_one_command(guest):
    guest("lists", 8)


@SERVED
@needs("viommu", "page_requests", "device_pages", "pasid", "device_pasid")
def test_w07_processes_whose_pages_the_device_asks_for(guest):
    guest("sva")
