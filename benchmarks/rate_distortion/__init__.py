"""Rate against distortion of our tokenizers beside what a user would otherwise take, one module a medium."""
