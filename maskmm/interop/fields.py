"""Their configuration, field by field: what our family cannot express is refused, never left out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maskmm.nn.config import FeedForwardKind

_log = logging.getLogger(__name__)
_PLAIN: dict[str, FeedForwardKind] = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_accurate": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
_HEADS = ("ForMaskedLM", "ForMaskedImageModeling", "ForPreTraining", "LMHead")
"""How classes with a head for masked positions end."""
_GATED: dict[FeedForwardKind, FeedForwardKind] = {
    "gelu": "geglu",
    "gelu_tanh": "geglu_tanh",
    "silu": "swiglu",
    "relu": "reglu",
}


@dataclass(frozen=True)
class Fields:
    """A configuration and where it came from.

    Attributes:
        values: name -> value.
        source: what to call it in messages.
    """

    values: Mapping[str, Any]
    source: str

    def get(self, name: str, default: Any) -> Any:
        """A field, or the default of its publisher where the file does not say (or says null)."""
        value = self.values.get(name)
        return default if value is None else value

    def need(self, name: str) -> Any:
        """A field that has no default.

        Raises:
            ValueError: it is not there.
        """
        if self.values.get(name) is None:
            raise ValueError(f"{self.source} lacks {name!r}; its configuration is not complete")
        return self.values[name]

    def refuse_other(self, name: str, *accepted: Any) -> None:
        """Raise ValueError unless a field is absent, null or one of the values that the family can express."""
        value = self.values.get(name)
        if value is not None and value not in accepted:
            raise ValueError(
                f"{self.source} has {name}={value!r}, which a TransformerConfig cannot express; expected "
                f"{' or '.join(repr(a) for a in accepted)}"
            )

    def activation(self, name: str, default: str) -> FeedForwardKind:
        """An activation function by its name.

        Raises:
            ValueError: one that the family lacks.
        """
        value = self.get(name, default)
        self.refuse_other(name, *_PLAIN)
        return _PLAIN[value]

    def gated_activation(self, name: str, default: str) -> FeedForwardKind:
        """An activation function of a gate.

        Raises:
            ValueError: one that the family lacks.
        """
        return _GATED[self.activation(name, default)]

    def refuse_scaled_rotary(self) -> None:
        """Raise ValueError where rotary positions are stretched (linear, dynamic, YaRN, ...), in new files or old."""
        scaling, told = (self.get(name, {}) for name in ("rope_scaling", "rope_parameters"))
        each = [told, *(part for part in told.values() if isinstance(part, Mapping))]
        kinds = {part.get("rope_type", part.get("type", "default")) for part in each}
        for name, values in (("rope_scaling", set(scaling.values())), ("rope_parameters", kinds)):
            if values - {"default"}:
                raise ValueError(
                    f"{self.source} has {name}={self.values[name]!r}, which a TransformerConfig cannot express; "
                    "expected rope_type 'default'"
                )

    def tell_missing_head(self, has_head: bool) -> None:
        """Warn where the configuration names a class with a head for masked positions that the weights do not hold."""
        claimed = [str(name) for name in self.get("architectures", []) if str(name).endswith(_HEADS)]
        if claimed and not has_head:
            _log.warning(
                "%s says it is a %s, but holds no head: logits come from its embeddings, untrained",
                self.source,
                claimed[0],
            )

    def tell_attention_dropout(self, name: str) -> None:
        """Log that dropout of attention weights, which only training would notice, is left out."""
        value = self.get(name, 0.0)
        if value:
            _log.info(
                "%s has %s=%s; maskmm trains without dropout of attention weights", self.source, name, value
            )
