"""People and groups as an identity provider brings them: SCIM 2.0 (RFC 7643, RFC 7644)."""
