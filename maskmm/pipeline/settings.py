"""How one target is decoded, as plain values that fit in a JSON file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_type_hints

from maskmm.decoding import (
    CoarseFirst,
    ConfidenceOrder,
    ConfidenceRemask,
    Guidance,
    IterativeDecoder,
    LogitFilter,
    RampedGuidance,
    RandomOrder,
    RandomRemask,
    RemaskPolicy,
    SampledLength,
    Temperature,
    TopK,
    TopP,
    UnmaskOrder,
)
from maskmm.schedules import ArccosSchedule, CosineSchedule, LinearSchedule, MaskSchedule

_SCHEDULES: dict[str, Callable[[], MaskSchedule]] = {
    "cosine": CosineSchedule,
    "linear": LinearSchedule,
    "arccos": ArccosSchedule,
}
_ORDERS = ("confidence", "random")


@dataclass(frozen=True)
class GenerationSettings:
    """Settings of `Pipeline.generate` for one target; `decoder` composes them.

    Args:
        num_steps: most decoding steps.
        guidance_scale: s in u + s (c - u); 1 is no guidance.
        is_guidance_ramped: let the scale grow from 1 to guidance_scale over the steps.
        temperature: of the logits; 0 takes the most probable code.
        top_k, top_p: keep only the most probable codes; None keeps all.
        schedule: "cosine", "linear" or "arccos".
        order: "confidence" or "random".
        noise_temperature: of the annealed noise of the confidence order.
        is_coarse_first: reveal the first codebook wholly before the second, and so on.
        length_temperature: of the sampled length of a target whose length varies; 0 takes the most probable one.
        remask: what may be masked again at each step: "confidence" (the least sure of all), a share such as 0.1 (of
            the filled tokens, at random), or None.

    Raises:
        ValueError: a value of another type, or a name or number that no decoder takes.
    """

    num_steps: int = 12
    guidance_scale: float = 1.0
    is_guidance_ramped: bool = False
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    schedule: str = "cosine"
    order: str = "confidence"
    noise_temperature: float = 4.5
    is_coarse_first: bool = False
    length_temperature: float = 1.0
    remask: str | float | None = None

    def __post_init__(self) -> None:
        for name, expected in get_type_hints(GenerationSettings).items():
            value = getattr(self, name)
            # A whole number will do for a float; True is a number to Python, but not to a user.
            is_number = isinstance(value, int) and isinstance(0.0, expected)
            if isinstance(value, bool) != (expected is bool) or not (
                is_number or isinstance(value, expected)
            ):
                raise ValueError(f"{name}={value!r}, expected {getattr(expected, '__name__', expected)}")
        # Every part checks its own number.
        self.decoder()
        SampledLength(self.length_temperature)

    def decoder(self) -> IterativeDecoder:
        """The decoder that these settings describe."""
        if self.schedule not in _SCHEDULES:
            raise ValueError(f"schedule={self.schedule!r}, expected one of {tuple(_SCHEDULES)}")
        if self.order not in _ORDERS:
            raise ValueError(f"order={self.order!r}, expected one of {_ORDERS}")
        filters: list[LogitFilter] = []
        if self.temperature != 1.0:
            filters.append(Temperature(self.temperature))
        if self.top_k is not None:
            filters.append(TopK(self.top_k))
        if self.top_p is not None:
            filters.append(TopP(self.top_p))
        order: UnmaskOrder = (
            RandomOrder() if self.order == "random" else ConfidenceOrder(self.noise_temperature)
        )
        guidance = RampedGuidance if self.is_guidance_ramped else Guidance
        return IterativeDecoder(
            num_steps=self.num_steps,
            schedule=_SCHEDULES[self.schedule](),
            order=CoarseFirst(order) if self.is_coarse_first else order,
            filters=tuple(filters),
            guidance=guidance(self.guidance_scale),
            remask=self._remask_policy(),
        )

    def _remask_policy(self) -> RemaskPolicy | None:
        if self.remask is None:
            return None
        if self.remask == "confidence":
            return ConfidenceRemask()
        if isinstance(self.remask, str):
            raise ValueError(f"remask={self.remask!r}, expected 'confidence', a share in (0, 1], or None")
        return RandomRemask(self.remask)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dictionary."""
        return asdict(self)

    @classmethod
    def layered(cls, *layers: Mapping[str, Any]) -> GenerationSettings:
        """Settings of several layers, later ones first; a value of None there means "not given".

        Raises:
            ValueError: a setting that does not exist, or one that the class refuses.
        """
        known = {field.name for field in fields(cls)}
        values: dict[str, Any] = {}
        for layer in layers:
            unknown = sorted(set(layer) - known)
            if unknown:
                raise ValueError(
                    f"generation settings {unknown} do not exist, expected some of {sorted(known)}"
                )
            values |= {name: value for name, value in layer.items() if value is not None}
        return cls(**values)
