"""The simulator: the scheduler's own functions against invented or recorded load, on a clock that costs nothing.

    scenario   what is simulated, as frozen records: organizations, load, targets, trouble
    load       what is asked for and when, drawn from a random source or read from lines of JSON
    queue      the store's part: who waits, what is due when; answers the queries of `scheduling.choice`
    target     the upstream's part: how long calls take, what it refuses and fails
    desk       the part of whoever admits: quotes, refusals, bookings
    run        the worker's part: a heap of events, and what each of them leads to
    measures   what is watched meanwhile
    report     what comes of it, and whether that is good enough

Only queue, target and the clients are played; every decision is one of `scheduling`. A run follows from its scenario
and its random source alone, so that a seed that fails once fails again.
"""
