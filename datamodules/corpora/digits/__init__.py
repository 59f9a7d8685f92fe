"""Real handwritten digits, their captions, and synthetic speech of the digit words."""
