package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/msgdelivery/delivery"
)

//go:embed migrations
var migrations embed.FS

// Migrations returns the SQL files that make the dialect's tables, for apps that use a migration
// tool of their own. They are named as golang-migrate expects (0001_initial.up.sql), and contain
// the comments that goose needs (-- +goose Up). Apply them in order, each once. A statement ends
// with a semicolon at the end of a line.
//
// The last statement of each file records it in delivery_migrations, so that [Migrate] and
// [Validate] know of it whatever tool applied it. For an unknown dialect the FS is empty.
func Migrations(dialect Dialect) fs.FS {
	files, err := fs.Sub(migrations, "migrations/"+dialect.String())
	if err != nil {
		return embed.FS{}
	}
	return files
}

// migration is one file.
type migration struct {
	version    int
	name       string
	statements []string
}

// migrationsIn returns the migrations in a dialect's folder, in order.
func migrationsIn(files fs.FS) ([]migration, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	var all []migration
	for _, name := range names {
		digits, _, _ := strings.Cut(name, "_")
		version, err := strconv.Atoi(digits)
		if err != nil {
			return nil, fmt.Errorf("migration %s has no number", name)
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		all = append(all, migration{version, name, statements(string(text))})
	}
	slices.SortFunc(all, func(a, b migration) int { return cmp.Compare(a.version, b.version) })
	return all, nil
}

// statements splits a file, since not every driver takes several statements at a time.
func statements(text string) []string {
	var all []string
	for statement := range strings.SplitSeq(text, ";\n") {
		if statement = strings.TrimSpace(statement); statement != "" {
			all = append(all, statement)
		}
	}
	return all
}

// Migrate makes the tables, or brings them up to date. Any number of processes may call it at the
// same time, as they do when many instances of an app start: one works, the others wait for it. If
// the tables are up to date it changes nothing, and needs no right to change tables.
//
// There is no form of it for a caller's transaction, because on MySQL every CREATE commits.
func Migrate(ctx context.Context, db *sql.DB, dialect Dialect) error {
	s, all, err := schema(db, dialect)
	if err != nil {
		return err
	}
	missing, err := s.missing(ctx, all)
	if err == nil && len(missing) > 0 {
		err = s.migrate(ctx, s, func(q delivery.DBTX) error { return s.apply(ctx, q, all) })
	}
	if err != nil {
		return fmt.Errorf("sqlstore: migrating: %w", err)
	}
	return nil
}

// Validate returns an error that says what a [Store] lacks in the database. Call it when the app
// starts, if something other than [Migrate] makes the tables.
func Validate(ctx context.Context, db *sql.DB, dialect Dialect) error {
	s, all, err := schema(db, dialect)
	if err != nil {
		return err
	}
	missing, err := s.missing(ctx, all)
	if err != nil {
		return fmt.Errorf("sqlstore: validating the tables: %w", err)
	}
	if len(missing) > 0 {
		names := make([]string, len(missing))
		for i, m := range missing {
			names[i] = m.name
		}
		return fmt.Errorf("sqlstore: the %v database lacks migrations: %s", dialect, strings.Join(names, ", "))
	}
	there, err := query(ctx, db, scanString, s.tables)
	if err != nil {
		return fmt.Errorf("sqlstore: validating the tables: %w", err)
	}
	for _, table := range tables {
		if !slices.Contains(there, table) {
			return fmt.Errorf("sqlstore: the %v database lacks the table %s, though its migration is recorded", dialect, table)
		}
	}
	if s.rights == "" {
		return nil
	}
	lacking, err := query(ctx, db, scanString, s.rights)
	if err != nil {
		return fmt.Errorf("sqlstore: validating the rights: %w", err)
	}
	if len(lacking) > 0 {
		return fmt.Errorf("sqlstore: in the %v database this role lacks %s", dialect, strings.Join(lacking, ", "))
	}
	return nil
}

const migrationsTable = "delivery_migrations"

// tables are what the migrations make.
var tables = []string{
	migrationsTable, "delivery_conversations", "delivery_messages", "delivery_states", "delivery_receipts",
	"delivery_readers", "delivery_rosters", "delivery_members", "delivery_failures", "delivery_own", "delivery_outbox", "delivery_dead",
	"delivery_rules", "delivery_looked", "delivery_overdue", "delivery_hours", "delivery_epoch",
}

func schema(db *sql.DB, dialect Dialect) (*session, []migration, error) {
	store, err := New(db, dialect)
	if err != nil {
		return nil, nil, err
	}
	all, err := migrationsIn(Migrations(dialect))
	return store.session, all, err
}

// missing returns the migrations that have not been applied.
func (s *session) missing(ctx context.Context, all []migration) (missing []migration, err error) {
	err = s.read(ctx, func(q delivery.DBTX) error {
		missing, err = s.missingIn(ctx, q, all)
		return err
	})
	return missing, err
}

func (s *session) missingIn(ctx context.Context, q delivery.DBTX, all []migration) ([]migration, error) {
	tables, err := query(ctx, q, scanString, s.tables)
	if err != nil || !slices.Contains(tables, migrationsTable) {
		return all, err
	}
	applied, err := query(ctx, q, scanInt, "SELECT version FROM "+migrationsTable)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(all), func(m migration) bool {
		return slices.Contains(applied, int64(m.version))
	}), nil
}

// apply applies what is missing, while nobody else does.
func (s *session) apply(ctx context.Context, q delivery.DBTX, all []migration) error {
	missing, err := s.missingIn(ctx, q, all)
	if err != nil {
		return err
	}
	for _, m := range missing {
		for _, statement := range m.statements {
			if _, err := q.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
		}
	}
	return nil
}
