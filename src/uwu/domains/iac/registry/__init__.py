"""Providers and modules that Terraform fetches from here."""
