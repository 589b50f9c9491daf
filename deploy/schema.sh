#!/bin/sh
# Creates Temporal's two databases, or migrates their tables to this version. It runs in temporalio/admin-tools, with server.env
# and the password in SQL_PASSWORD, at every start; where the version is the same it changes nothing.
set -eu

tables() { # of database $1, from the folder $2
	tool="temporal-sql-tool --plugin $DB --ep $POSTGRES_SEEDS --port $DB_PORT --user $POSTGRES_USER --db $1"
	$tool create-database
	$tool setup-schema -v 0.0
	$tool update-schema -d "$SCHEMA_DIR/$2/versioned"
}
tables "$DBNAME" temporal
tables "$VISIBILITY_DBNAME" visibility
