"""Directories: users and groups of an LDAP server, copied with their stable ids, whole or not at all."""
