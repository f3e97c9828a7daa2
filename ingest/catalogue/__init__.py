"""The catalogue of data assets: what is there, how old, how alike, and where personal data stands."""
