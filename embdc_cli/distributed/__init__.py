"""Work on many machines. `cluster.py` is all that knows Ray, and knows nothing of what the work is."""
