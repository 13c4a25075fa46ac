"""What a process tree is: the objects, who holds which, and what a saved tree must satisfy."""
