"""HumanML3D: captioned motions in a folder that the user brings."""
