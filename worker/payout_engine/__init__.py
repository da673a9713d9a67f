"""The thin worker: it carries requests from Postgres to Stripe and reports the answers.

It decides nothing: SQL (`procedures/`) says which transfers are due and judges each answer.
"""
