"""How a database of an earlier version becomes one of this: a step a file, in `versions`, run by Alembic.

A step says what it does in its own words and never imports the tables as they are now, for they will have changed.
"""
