"""The Dockerfile, read and carried out without Docker."""
