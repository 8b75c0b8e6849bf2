"""Least privilege: what a role may do against what it did, and the policy that would have been enough."""
