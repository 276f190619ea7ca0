"""The command `cbam-np`: one module for each of its verbs, and what they share."""
