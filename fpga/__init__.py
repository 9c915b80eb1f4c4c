"""Boards: their tops, bitstreams and host link, and the driver on the host."""
