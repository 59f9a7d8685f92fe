"""Every theme in one run: `python -m benchmarks.all [--quick] [--mode cpu|wall] [--gates] [--out FILE]`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module

from benchmarks.harness import Measurable, Skipped, run

# Theme -> packages that its file imports.
_THEMES: dict[str, tuple[str, ...]] = {
    "encoder": ("transformers",),
    "other_encoders": ("transformers", "x_transformers"),
    "modernbert": ("transformers",),
    "head": (),
    "masked_lm": ("transformers",),
    "visible_rows": (),
    "int8": (),
    "trainer": ("lightning",),
    "memory": ("transformers",),
    "attention": (),
    "quantizers": ("vector_quantize_pytorch",),
    # Last: a process that has compiled cannot be forked, as measuring memory wants.
    "compiled": ("transformers",),
}
_GATED = ("encoder", "head")


def _cases(theme: str) -> Callable[[bool], Iterable[Measurable]]:
    def cases(is_quick: bool) -> Iterator[Measurable]:
        obstacles = [reason for name in _THEMES[theme] if (reason := _obstacle(name)) is not None]
        if obstacles:
            yield Skipped(theme, "; ".join(obstacles), gate=1.0 if theme in _GATED else None)
            return
        yield from import_module(f"benchmarks.{theme}").cases(is_quick)

    return cases


def _obstacle(package: str) -> str | None:
    """Why a peer cannot be measured here; None where it can. Wheels for another torch are found, but fail to import."""
    try:
        import_module(package)
    except (ImportError, OSError) as error:
        return f"{package} does not import: {error}"
    return None


if __name__ == "__main__":
    themes = _GATED if "--gates" in sys.argv else tuple(_THEMES)
    sys.exit(run([(_cases(theme), [name.replace("_", "-") for name in _THEMES[theme]]) for theme in themes]))
