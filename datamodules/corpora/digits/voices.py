"""The fixed list of synthetic voices: 192 variants over 32 timbres.

How it was chosen (select_voices.py does it again): of the timbres that eSpeak NG brings, those whose digits
pocketsphinx recognises (at least 0.85 over the three bases at a plain rate and pitch) and that do not sound
like an earlier one; of each, the six of 27 combinations of base, rate and pitch that are recognised best, every
one of them at least 0.9, equals in hashed order. The recogniser therefore hears this list better than voices at large.
"""

from __future__ import annotations

from typing import NamedTuple

BASES = ("en-us", "en", "en-gb-x-rp")

_TABLE = """
Alex: en-gb-x-rp/140/50 en-us/175/30 en-us/175/75 en-us/220/30 en-us/220/50 en-us/220/75
Denis: en/220/50 en-us/175/30 en-us/175/50 en-us/175/75 en-us/220/30 en-us/220/75
Diogo: en/175/30 en-gb-x-rp/175/30 en-gb-x-rp/220/30 en-gb-x-rp/220/75 en-us/140/50 en-us/220/75
Gene: en/140/30 en/140/75 en/175/30 en-gb-x-rp/220/30 en-us/220/30 en-us/220/50
Mike: en-gb-x-rp/175/75 en-us/140/30 en-us/140/50 en-us/220/30 en-us/220/50 en-us/220/75
Reed: en/175/30 en-gb-x-rp/140/75 en-gb-x-rp/175/75 en-gb-x-rp/220/75 en-us/140/75 en-us/175/75
anika: en/140/50 en-gb-x-rp/175/50 en-us/140/30 en-us/140/50 en-us/175/30 en-us/220/75
announcer: en/140/30 en/175/50 en/220/50 en/220/75 en-gb-x-rp/140/75 en-gb-x-rp/220/75
antonio: en/175/30 en/175/50 en/220/50 en/220/75 en-us/140/75 en-us/175/30
belinda: en/220/30 en-us/140/30 en-us/140/50 en-us/175/30 en-us/175/50 en-us/220/30
caleb: en/140/75 en/175/50 en/220/50 en-gb-x-rp/140/30 en-gb-x-rp/140/50 en-us/220/75
croak: en-gb-x-rp/140/30 en-gb-x-rp/175/50 en-gb-x-rp/220/75 en-us/140/50 en-us/175/30 en-us/220/30
ed: en/140/30 en/140/50 en/220/30 en/220/75 en-us/140/30 en-us/140/50
edward: en/140/50 en/140/75 en-gb-x-rp/175/50 en-gb-x-rp/220/30 en-us/175/50 en-us/175/75
f2: en/175/50 en/220/30 en/220/75 en-gb-x-rp/220/50 en-us/175/75 en-us/220/50
f3: en/175/30 en/220/30 en/220/50 en-us/140/30 en-us/175/50 en-us/220/50
f5: en/140/30 en/175/30 en/220/30 en-gb-x-rp/220/30 en-us/140/30 en-us/220/30
grandpa: en/175/75 en-gb-x-rp/140/50 en-gb-x-rp/175/75 en-gb-x-rp/220/75 en-us/220/30 en-us/220/50
john: en/140/75 en/175/75 en-gb-x-rp/175/50 en-us/175/50 en-us/175/75 en-us/220/50
klatt: en/220/30 en-gb-x-rp/175/30 en-us/140/30 en-us/175/50 en-us/220/30 en-us/220/75
klatt3: en/140/50 en/220/30 en-gb-x-rp/140/50 en-gb-x-rp/175/50 en-us/175/30 en-us/175/50
m1: en-us/140/30 en-us/140/75 en-us/175/30 en-us/175/75 en-us/220/30 en-us/220/75
m4: en/175/75 en-gb-x-rp/140/30 en-gb-x-rp/175/50 en-gb-x-rp/220/30 en-us/175/75 en-us/220/50
m5: en/220/30 en/220/75 en-us/140/30 en-us/140/75 en-us/220/30 en-us/220/50
mike2: en/140/30 en/140/75 en/175/75 en/220/30 en-gb-x-rp/140/75 en-us/175/75
pablo: en/140/75 en/175/75 en/220/75 en-gb-x-rp/140/75 en-gb-x-rp/175/30 en-gb-x-rp/175/50
robosoft: en/140/75 en/175/50 en/175/75 en-gb-x-rp/140/30 en-gb-x-rp/140/75 en-gb-x-rp/175/75
robosoft2: en/140/30 en/140/75 en/175/30 en/175/50 en-gb-x-rp/140/75 en-us/140/50
robosoft4: en/140/30 en/140/75 en-gb-x-rp/140/75 en-us/140/75 en-us/175/75 en-us/220/75
robosoft7: en/140/75 en-gb-x-rp/140/30 en-gb-x-rp/140/75 en-us/140/50 en-us/175/50 en-us/175/75
sandro: en-us/140/30 en-us/140/50 en-us/175/30 en-us/175/50 en-us/220/30 en-us/220/50
victor: en/220/30 en/220/75 en-gb-x-rp/175/75 en-gb-x-rp/220/50 en-us/140/30 en-us/220/75
"""


class Variant(NamedTuple):
    """One way of speaking: a timbre on a base voice, at a rate (words a minute) and a pitch (0 to 99)."""

    timbre: str
    base: str
    rate: int
    pitch: int

    @property
    def voice(self) -> str:
        """Name that eSpeak NG knows it by."""
        return f"{self.base}+{self.timbre}"


def _parse(table: str) -> tuple[Variant, ...]:
    variants = []
    for line in table.strip().splitlines():
        timbre, _, ways = line.partition(": ")
        for base, rate, pitch in (way.split("/") for way in ways.split()):
            variants.append(Variant(timbre, base, int(rate), int(pitch)))
    return tuple(variants)


VARIANTS = _parse(_TABLE)
TIMBRES = tuple(dict.fromkeys(variant.timbre for variant in VARIANTS))
