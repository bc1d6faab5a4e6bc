"""Scheduling: which queued item is next, when work will be done, and what cannot be promised. Pure.

    windows    what each window promises                        rows of data
    quotes     a promise, or when to come again                 admission: own share, everybody's promises
    shares     what an organization gets of the capacity        fluid fair queuing
    grouping   a batch into jobs, alike beginnings together
    backlog    what waits, by due moment                        what is critical
    choice     the next items                                   the worker's seam, drawn there
    fairness   counters between organizations                   virtual token counter
    capacity   permits for asap and for queued work
    pace       how many permits a target has                    learned from its answers
    rates      what permits give, what arrives                  averages that forget
    backoff    when a failed call is tried again
    hits       promises kept, by window
    simulation all of it against played load

Moments are seconds since the epoch, durations seconds, service is tokens: 1 for each that is read, 2 for each that is
written. asap never enters the queue. Nothing here reads a clock, draws at random, or knows SQL and HTTP.
"""
