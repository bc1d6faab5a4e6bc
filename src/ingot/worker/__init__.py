"""Queued work out: the process's side of the queue, beside `web`, which it does not know.

loop      takes jobs while there is room for them, keeps their leases, ends them when somebody wants that
lanes     how much room each target has
running   one job from its lease to its last item
course    one item of it, from its first try to its last
door      where the answers of items go
"""
