"""Iterative masked decoding: schedule, order, filters, guidance, remasking and lengths are independent objects."""

from maskmm.decoding.filters import LogitFilter, Temperature, TopK, TopP
from maskmm.decoding.generate import generate_tokens
from maskmm.decoding.guidance import Guidance, RampedGuidance
from maskmm.decoding.iterative import IterativeDecoder
from maskmm.decoding.lengths import GivenLength, LengthPolicy, SameLengthAs, SampledLength
from maskmm.decoding.orders import CoarseFirst, ConfidenceOrder, RandomOrder, UnmaskOrder
from maskmm.decoding.remasking import ConfidenceRemask, RandomRemask, RemaskPolicy

__all__ = [
    "CoarseFirst",
    "ConfidenceOrder",
    "ConfidenceRemask",
    "GivenLength",
    "Guidance",
    "IterativeDecoder",
    "LengthPolicy",
    "LogitFilter",
    "RampedGuidance",
    "RandomOrder",
    "RandomRemask",
    "RemaskPolicy",
    "SameLengthAs",
    "SampledLength",
    "Temperature",
    "TopK",
    "TopP",
    "UnmaskOrder",
    "generate_tokens",
]
