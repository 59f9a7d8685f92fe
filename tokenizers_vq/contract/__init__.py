"""What every package agrees on: token specs, flat token batches, the tokenizer interface, hashed randomness."""

from tokenizers_vq.contract.batch import SegmentTable, TokenBatch
from tokenizers_vq.contract.collate import BatchTransform, BudgetCollate, Collate, StepCollate, TokenBudget
from tokenizers_vq.contract.described import Described
from tokenizers_vq.contract.randomness import Key
from tokenizers_vq.contract.source import ModalitySource
from tokenizers_vq.contract.spec import Modality, TokenSpec
from tokenizers_vq.contract.tensors import TensorRecord
from tokenizers_vq.contract.tokenizer import Codes, Quantized, Tokenizer, load_tokenizer

__all__ = [
    "BatchTransform",
    "BudgetCollate",
    "Codes",
    "Collate",
    "Described",
    "Key",
    "Modality",
    "ModalitySource",
    "Quantized",
    "SegmentTable",
    "StepCollate",
    "TensorRecord",
    "TokenBatch",
    "TokenBudget",
    "TokenSpec",
    "Tokenizer",
    "load_tokenizer",
]
