"""jsonargparse's messages on one line that names the place and the fix."""

from __future__ import annotations

import collections

from maskmm.cli.config_errors import shorten

NESTED = """Parser key "model":
  Does not validate against any of the Union subtypes
  Subtypes: [<class 'a.Module'>, <class 'NoneType'>]
  Errors:
    - Problem with given class_path 'collections.UserList':
        Option 'initlst' is not accepted
    - Expected a <class 'NoneType'>
  Given value type: <class 'dict'>
  Given value: NestedArg(key='initlst', val='3')
"""


def test_the_place_and_the_likely_option_are_left() -> None:
    assert collections.UserList
    assert shorten(NESTED) == (
        "model: collections.UserList: Option 'initlst' is not accepted, did you mean 'initlist'?"
    )


def test_far_options_are_listed_and_unknown_classes_left_alone() -> None:
    far = NESTED.replace("initlst", "zzz")
    assert shorten(far).endswith("'zzz' is not accepted, expected some of ['initlist']")
    assert shorten(far.replace("collections.UserList", "no.Such")).endswith("is not accepted")


def test_types_are_plain_and_small_values_kept() -> None:
    message = "Parser key \"trainer.x\":\n  Expected a <class 'int'>\n  Given value: 17"
    assert shorten(message) == "trainer.x: expected int (given: 17)"


def test_other_messages_stay_as_they_are() -> None:
    worker = "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback:\nValueError: bad"
    assert shorten(worker) == worker
    assert shorten("num_steps=0, expected at least 1") == "num_steps=0, expected at least 1"


def test_a_missing_config_says_how_to_give_one() -> None:
    assert shorten("the following arguments are required: fit.model").endswith("in a config: -c FILE")
