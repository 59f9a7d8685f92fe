"""Ways to compute packed attention, one a file; `maskmm.nn.attention.attend` chooses."""
