"""How alike are two languages? What authors of a measure import.

``from measures import Measure, SimilarityMatrix`` is all that a plugin needs.
"""

from measures.base import Evidence, Measure, MeasureError, SimilarityMatrix, TransferMatrix
from measures.needs import Needs, Reading, ReadingResult

__all__ = [
    "Evidence",
    "Measure",
    "MeasureError",
    "Needs",
    "Reading",
    "ReadingResult",
    "SimilarityMatrix",
    "TransferMatrix",
]
