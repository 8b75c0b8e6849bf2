"""Scorecards: how well each service is kept, judged over what is declared and observed, with the proof of each word."""
