"""jsonargparse's many lines about a mistake in a config, as one that a user can act on."""

from __future__ import annotations

import difflib
import inspect
import re
import sys

_PATH = re.compile(r"""^(?:- )?(?:Parser key "(?P<key>.+)"|Problem with given class_path '(?P<cls>.+)'):$""")
_OPTION = re.compile(r"Option '(?P<option>[^']+)' is not accepted")
_TRAINER_OPTION = re.compile(r"does not accept option 'trainer\.(?P<option>[^'.]+)")
_GIVEN = "Given value: "
_CLASS = re.compile(r"<class '([^']+)'>")
_NOISE = (
    "Does not validate against any of the Union subtypes",
    "Subtypes: ",
    "Errors:",
    "Expected a <class 'NoneType'>",
    "Given value type: ",
    "Not a valid subclass of",
    "Subclass types expect one of",
    "a class path (str)",
    "a dict with",
)
_MOST_VALUE = 60


def shorten(message: str) -> str:
    """What is wrong and where, without the types that were tried and the values of everything around.

    Args:
        message: of jsonargparse, several lines; another message comes back as it is.
    """
    kept: list[str] = []
    class_path = ""
    if message.startswith("Caught "):  # of a data worker, with its traceback
        return message
    if message.startswith("the following arguments are required: "):
        return f"{message}; name them in a config: -c FILE"
    for line in (line.strip() for line in message.strip().splitlines()):
        if line.removeprefix("- ").startswith(_NOISE):
            continue
        where = _PATH.match(line)
        if where:
            class_path = where["cls"] or class_path
            kept.append(f"{where['key'] or where['cls']}:")
        elif line.startswith(_GIVEN):
            value = line.removeprefix(_GIVEN)
            if len(value) <= _MOST_VALUE and not value.startswith("NestedArg("):
                kept.append(f"(given: {value})")
        else:
            option, of_trainer = _OPTION.search(line), _TRAINER_OPTION.search(line)
            hint = _accepted(class_path, option["option"]) if option else ""
            hint = _accepted("lightning.pytorch.Trainer", of_trainer["option"]) if of_trainer else hint
            plain = _CLASS.sub(r"\1", line.removeprefix("- ")).replace("typing.Literal", "one of ")
            kept.append(plain.replace("Expected a ", "expected ") + hint)
    return " ".join(kept)


def _accepted(class_path: str, option: str) -> str:
    """The options that a class takes, the likely one first."""
    module, _, name = class_path.rpartition(".")
    # A class that was found has been imported.
    found = getattr(sys.modules.get(module), name, None)
    if found is None:
        return ""
    names = list(inspect.signature(found).parameters)
    likely = difflib.get_close_matches(option, names, 1)
    return f", did you mean {likely[0]!r}?" if likely else f", expected some of {names}"
