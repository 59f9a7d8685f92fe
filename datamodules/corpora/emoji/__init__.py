"""OpenMoji drawings with their names in fourteen languages."""
