"""Other processes under our hands: stopped, asked, read, released, and none the worse if we die meanwhile."""
