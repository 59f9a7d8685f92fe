"""The `maskmm` command: parses before torch is imported."""
