"""SCIM 2.0 (RFC 7643, 7644): an identity provider writes its users and groups here, and its alone."""
