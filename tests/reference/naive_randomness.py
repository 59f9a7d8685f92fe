"""Naive twin of `Key.bits`: plain Python integers modulo 2 ** 64."""

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def mix(x: int) -> int:
    """SplitMix64's finaliser."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def bits(seed: int, stream: int, step: int, *counters: int) -> int:
    """The 64 bits of one counter combination, unsigned."""
    state = 0
    for counter in (seed, stream, step, *counters):
        state = mix((state * 5 + _GOLDEN + mix((counter + _GOLDEN) & _MASK)) & _MASK)
    return state


def uniform(seed: int, stream: int, step: int, *counters: int) -> float:
    """The top 52 bits, centred in their cells."""
    return ((bits(seed, stream, step, *counters) >> 12) + 0.5) / 2.0**52
