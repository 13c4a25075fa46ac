"""Memory: which pages of a process must be kept, how they get into the page store, and back."""
