"""Commands for developers: migrations, the schema snapshot, the house check."""
