"""Tokenizers: any media to codes and back. Stands alone; see `tokenizers_vq.contract` for the interface."""
