"""OIDC access tokens: issuers' keys, and what a token that they signed says."""
