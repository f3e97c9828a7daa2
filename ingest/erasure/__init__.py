"""Erasure: a document, source or person removed from SQL, index and files, and a scan that proves it."""
