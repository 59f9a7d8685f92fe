"""Layers: attention on packed rows, rotary positions, blocks, embedding."""
