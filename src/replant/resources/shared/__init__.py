"""What several kinds of resources need: refusing, opening again, filling with contents."""
