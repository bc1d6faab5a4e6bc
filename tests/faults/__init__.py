"""Faults on purpose, and the proof that nothing came of them: real processes, real databases, one history, one checker.

history    what each process of a run saw, as append-only logs
checker    one history against the rules: nothing lost, nothing billed twice, nothing seen by the wrong eyes
books      what the database and the upstream know, as events of the same history
wire       one HTTP exchange of a client that notices how it ended
load       clients: who asks, when, and what is drawn
drivers    what a client does: streams, plain calls, work in the background; other kinds of work take the same seat
batches    the same for batches, in their three shapes
nodes      the processes of a run: one on SQLite, three on PostgreSQL with Valkey, each behind proxies
run        one fault on one set of nodes: load, harm, check, a row of the table
kills, targets, stores, sinks, crowds   the faults; `catalogue` lists them
table      the rows of all runs as one table: `python -m faults.table FOLDER`
"""
