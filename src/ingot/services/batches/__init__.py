"""Many requests at once: taken whole or not at all, run by the queue, told while they run and once they have ended.

desk      what clients do with batches             intake    reads and judges requests, a piece at a time
results   what they read of them                   staging   writes requests down where nobody sees them yet
filing    batches whose requests and results are files
"""
