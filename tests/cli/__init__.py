"""A package, so that its test_schema.py and the one of tests/data can both be collected."""
