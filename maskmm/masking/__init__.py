"""What is hidden and what is asked."""
