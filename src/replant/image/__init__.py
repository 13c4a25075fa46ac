"""The image on disk: container, codec, upgrades. See docs/image-format.md."""
