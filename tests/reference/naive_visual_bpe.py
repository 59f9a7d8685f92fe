"""Visual BPE one token at a time: a grid is a dict of rectangles, a merge walks over it in raster order."""

from __future__ import annotations

from collections import Counter

Rectangles = dict[tuple[int, int], tuple[int, int, int]]  # (row, column) -> token, height, width


def rectangles(grid: list[list[int]]) -> Rectangles:
    return {(y, x): (code, 1, 1) for y, row in enumerate(grid) for x, code in enumerate(row)}


def neighbour(tiles: Rectangles, y: int, x: int, direction: int) -> tuple[int, int] | None:
    _, height, width = tiles[y, x]
    place = (y, x + width) if direction == 0 else (y + height, x)
    if place not in tiles:
        return None
    _, other_height, other_width = tiles[place]
    is_even = other_height == height if direction == 0 else other_width == width
    return place if is_even else None


def count(tiles: Rectangles) -> Counter[tuple[int, int, int]]:
    counts: Counter[tuple[int, int, int]] = Counter()
    for y, x in tiles:
        for direction in (0, 1):
            place = neighbour(tiles, y, x, direction)
            if place is not None:
                counts[direction, tiles[y, x][0], tiles[place][0]] += 1
    return counts


def make(tiles: Rectangles, pair: tuple[int, int, int], token: int) -> Rectangles:
    direction, first, second = pair
    tiles = dict(tiles)
    for y, x in sorted(tiles):
        if (y, x) not in tiles or tiles[y, x][0] != first:
            continue
        place = neighbour(tiles, y, x, direction)
        if place is not None and tiles[place][0] == second:
            _, height, width = tiles.pop(place)
            mine = tiles[y, x]
            tiles[y, x] = (
                (token, mine[1], mine[2] + width) if direction == 0 else (token, mine[1] + height, mine[2])
            )
    return tiles


def learn(grids: list[list[list[int]]], num_codes: int, num_merges: int, min_count: int = 2):
    """Merges [(first, second, direction)] and the tokens of each grid."""
    tilings = [rectangles(grid) for grid in grids]
    table = []
    for index in range(num_merges):
        counts: Counter[tuple[int, int, int]] = Counter()
        for tiles in tilings:
            counts.update(count(tiles))
        if not counts or max(counts.values()) < min_count:
            break
        best = min(pair for pair, number in counts.items() if number == max(counts.values()))
        table.append((best[1], best[2], best[0]))
        tilings = [make(tiles, best, num_codes + index) for tiles in tilings]
    return table, [[tiles[place][0] for place in sorted(tiles)] for tiles in tilings]
