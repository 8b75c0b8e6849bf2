"""The API under ``/api/v1``: typed answers, problem+json errors, one file a subject."""
