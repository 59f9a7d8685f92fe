import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def reference_quantize() -> ModuleType:
    """The slow twins; test folders are no packages, so they are loaded by path."""
    path = Path(__file__).parents[1] / "reference" / "quantize.py"
    spec = importlib.util.spec_from_file_location("reference_quantize", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
