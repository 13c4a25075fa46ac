"""Everything about processes, fast: facts are declared once, and several sources of the kernel give them."""
