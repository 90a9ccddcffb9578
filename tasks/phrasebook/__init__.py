"""Embedded samples: sentences from phrasebooks, for a machine with no network and no data folder.

They show that a task runs, and nothing else. How a phrasebook is written: :mod:`tasks.phrasebook.book`.
"""

from tasks.phrasebook.book import sample

__all__ = ["sample"]
