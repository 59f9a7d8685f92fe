"""Ready predicates of structured attention; rows of other samples are kept apart by the layout already.

Each takes what it compares by row: of the key rows where those are other rows than the query rows, else once.
"""

from __future__ import annotations

from torch import Tensor

from maskmm.nn.layout import Predicate


def permutation(order_q: Tensor, order_k: Tensor | None = None, sees_itself: bool = True) -> Predicate:
    """Rows see rows of no greater order (Yang et al., "XLNet", 2019).

    Args:
        order_q: (N,) rank of each query row in the permutation; rows of rank 0 see each other.
        order_k: (M,) of the key rows; the same where not given.
        sees_itself: False asks for strictly smaller orders (XLNet's query stream), so a first row sees nothing.
    """
    order_k = order_q if order_k is None else order_k
    if sees_itself:
        return lambda q, k: order_k[k] <= order_q[q]
    return lambda q, k: order_k[k] < order_q[q]


def block_causal(group_q: Tensor, group_k: Tensor | None = None) -> Predicate:
    """Rows see their own group and earlier ones (Mentzer et al., "M2T: masking transformers twice", 2023).

    Args:
        group_q: (N,) group of each query row; group_k: (M,) of the key rows.
    """
    return permutation(group_q, group_k)


def hybrid(order_q: Tensor, order_k: Tensor | None = None, sees_later: bool = False) -> Predicate:
    """Visible rows (order 0) see the visible; masks see those too, and masks of no later (or no earlier) rank.

    The attention of bidirectional autoregressive diffusion (Hosseyni et al., "BAD", 2024).

    Args:
        order_q: (N,) 0 for visible rows, else the rank of a mask; order_k: (M,) of the key rows.
        sees_later: masks see masks of the same and later ranks instead of earlier ones.
    """
    order_k = order_q if order_k is None else order_k
    if not sees_later:
        return permutation(order_q, order_k)
    return lambda q, k: (order_k[k] == 0) | ((order_q[q] > 0) & (order_k[k] >= order_q[q]))


def nearby(place_q: Tensor, distance: int, place_k: Tensor | None = None) -> Predicate:
    """Rows see rows at most `distance` away on an axis, e.g. frames (Ziv et al., "MAGNeT", 2024).

    Also the window of query rows that are some of the key rows and not the last ones: place = rank in the sample.

    Args:
        place_q: (N,) coordinate of each query row; place_k: (M,) of the key rows.
        distance: in the unit of the coordinates.
    """
    place_k = place_q if place_k is None else place_k
    return lambda q, k: (place_q[q] - place_k[k]).abs() <= distance


def both(first: Predicate, second: Predicate) -> Predicate:
    """Pairs that both predicates admit."""
    return lambda q, k: first(q, k) & second(q, k)
