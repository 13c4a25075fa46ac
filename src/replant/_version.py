"""The version of the package and of nothing else: images have a version of their own."""

__version__ = "0.1.0"
