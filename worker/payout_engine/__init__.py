"""The thin worker: it carries orders from Postgres to Stripe and answers back.

It decides nothing; what is due, what is sent and what an answer means is SQL (`procedures/`).
"""
