"""Entropy: the distance between what is declared and what is observed, 0 (as declared) to 100.

For any scope: the sum over its unresolved findings of weight(severity) x age factor, and over the parts of accounts
that could not be observed, divided by its subjects times the weight of a critical finding, scaled to 0-100. Stale
findings count as open ones: nobody knows that they are mended. Subjects are what is declared or observed, or was within
the last 30 days: so mending never raises it, not even where it deletes.
"""

from uwu.kernel.entropy.days import Day, latest, record, scores, series
from uwu.kernel.entropy.formula import SCOPES, WEIGHT, Score, age_factor, scale
from uwu.kernel.entropy.parts import Parts, Share, rows
from uwu.kernel.entropy.sums import measure

__all__ = [
    "SCOPES",
    "WEIGHT",
    "Day",
    "Parts",
    "Score",
    "Share",
    "age_factor",
    "latest",
    "measure",
    "record",
    "rows",
    "scale",
    "scores",
    "series",
]
