"""Backstage's catalog API, read by its own client and plugins: the estate's entities as Backstage would tell them."""
