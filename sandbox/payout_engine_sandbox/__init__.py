"""Stand-ins for the outside world: a throw-away PostgreSQL and a double of the Stripe API."""
