"""Real studio speech with transcripts: the prompts of the Asterisk telephone exchange."""
