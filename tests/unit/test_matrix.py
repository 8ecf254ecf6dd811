"""The table of cells that CI runs."""

from itertools import combinations, product

from matrix.cells import PAIRS, WAYS, all_cells


def test_every_two_ways_meet_in_a_cell() -> None:
    """A cell left out, or a way added without a cell, breaks here."""
    for one, other in combinations(range(len(WAYS)), 2):
        assert {(cell[one], cell[other]) for cell in PAIRS} == set(product(WAYS[one], WAYS[other]))


def test_the_table_is_a_part_of_the_whole() -> None:
    """No cell stands there twice."""
    assert len({*PAIRS}) == len(PAIRS)
    assert {*PAIRS} < {*all_cells()}
