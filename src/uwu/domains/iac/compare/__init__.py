"""Comparers: an observed resource against what Terraform declares, attribute by attribute, without noise."""
