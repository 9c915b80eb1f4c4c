"""Boards. Empty until the first board is supported."""
