#!/bin/sh
# Run once by the PostgreSQL image when its volume is new. Ambit's role is no superuser: row-level security, the second
# wall between tenants, holds for everybody else.
set -eu
psql --set ON_ERROR_STOP=1 --set password="$POSTGRES_PASSWORD" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE ambit LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE ambit OWNER ambit;
SQL
