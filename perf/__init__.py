"""Measurements. Nothing here is a test: what it prints depends on the machine."""
