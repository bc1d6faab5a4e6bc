"""Webhooks: what requests order, endpoints that subscribe, and the deliveries of both.

orders       `metadata.completion_webhook` of a request, judged before it runs
endpoints    what customers register, and the secrets that sign
sending      the task that delivers
desk         what operators and administrators look at and send once more
"""
