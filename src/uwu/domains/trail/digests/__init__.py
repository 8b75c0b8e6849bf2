"""Digest files: CloudTrail's own word, signed each hour, on which log files it delivered and what is in them."""
