"""Objects that a folder can describe by class and arguments, and build again; no class is imported for a file."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self


class Described:
    """Remembers the arguments that it was built with; a base of whatever is injected into a tokenizer.

    Arguments are plain values (None, bool, int, float, str, paths, lists and dicts of them) or other Described
    objects. They must not be changed after they were given.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
        # Otherwise `help` would show the arguments of __new__ below, which are any.
        cls.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep the arguments; copying calls this without any and brings them along itself."""
        self = super().__new__(cls)
        signature = inspect.signature(cls.__init__)
        bound = signature.bind_partial(self, *args, **kwargs)
        bound.apply_defaults()
        (own, *_), arguments = signature.parameters, dict(bound.arguments)
        del arguments[own]
        for name, parameter in signature.parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                arguments |= arguments.pop(name)
        object.__setattr__(self, "_arguments", arguments)  # past dataclasses that are frozen
        return self

    _arguments: dict[str, Any]


def arguments_of(built: Described, leave_out: Iterable[str] = ()) -> dict[str, Any]:
    """JSON-ready constructor arguments, defaults among them; objects as {"class_path", "init_args"}.

    Args:
        built: any Described object.
        leave_out: arguments that are needed in training alone (a teacher), and are not described.

    Raises:
        ValueError: an argument that cannot be described, by name.
    """
    left = set(leave_out)
    return {
        name: _described(value, f"{type(built).__name__}({name}=...)")
        for name, value in built._arguments.items()
        if name not in left
    }


def _described(value: Any, name: str) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [_described(item, name) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _described(item, name) for key, item in value.items()}
    if isinstance(value, Described):
        return {"class_path": path_of(type(value)), "init_args": arguments_of(value)}
    raise ValueError(
        f"{name}: a {type(value).__name__} cannot be described in a folder; expected plain values or objects of "
        "classes derived from tokenizers_vq.contract.Described"
    )


def rebuild(value: Any, allow: Iterable[type] = ()) -> Any:
    """Inverse of the description: objects in place of every {"class_path", "init_args"}, at any depth.

    Args:
        value: what `arguments_of` returns, or what JSON or YAML made of it.
        allow: further classes that may be named.

    Raises:
        ValueError: a foreign class.
    """
    if isinstance(value, list):
        return [rebuild(item, allow) for item in value]
    if not isinstance(value, Mapping):
        return value
    if "class_path" in value and set(value) <= {"class_path", "init_args"}:
        found = find_class(value["class_path"], Described, allow)
        return found(**rebuild(value.get("init_args") or {}, allow))
    return {key: rebuild(item, allow) for key, item in value.items()}


def path_of(cls: type) -> str:
    """Dotted name of a class, as `find_class` takes it."""
    return f"{cls.__module__}.{cls.__qualname__}"


def _subclasses(cls: type[Any]) -> dict[str, type]:
    found = {path_of(cls): cls}
    subclasses: list[type] = cls.__subclasses__()
    for sub in subclasses:
        found |= _subclasses(sub)
    return found


def find_class(class_path: str, base: type, allow: Iterable[type] = ()) -> type:
    """The class a file names: in-package, already imported by the user, or in `allow`; never imported for a file.

    Raises:
        ValueError: a foreign class, or one that is no `base`.
    """
    known = _subclasses(base) | {path_of(c): c for c in allow}
    package = class_path.split(".", 1)[0]
    if class_path not in known and package in ("tokenizers_vq", "maskmm"):
        module, _, name = class_path.rpartition(".")
        try:
            # By its attribute, as configs may name a class by the package that passes it on.
            found = getattr(importlib.import_module(module), name, None)
        except ModuleNotFoundError as error:
            raise ValueError(f"class {class_path!r}: {error}; it may come from another version") from error
        if isinstance(found, type) and issubclass(found, base):
            return found
    if class_path not in known:
        raise ValueError(
            f"class {class_path!r} is not part of this package and was not imported; import it first (--plugin "
            f"MODULE on the command line) or pass allow=[{class_path.rsplit('.', 1)[-1]}]"
        )
    return known[class_path]
