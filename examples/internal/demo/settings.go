package demo

import (
	"context"
	"slices"
)

// Settings are what the users of an example have chosen, kept in a table of the app's.
type Settings struct{ db *DB }

// NewSettings returns the settings that are kept in the database.
func NewSettings(db *DB) Settings { return Settings{db} }

// HidingReads returns the users who hide from others what they read.
func (s Settings) HidingReads(ctx context.Context) (users []string, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT name FROM demo_hiding_reads")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		users = append(users, name)
	}
	return users, rows.Err()
}

// HideReads has a user hide from others what the user reads, or show it.
func (s Settings) HideReads(ctx context.Context, user string, hide bool) error {
	if !hide {
		_, err := s.db.ExecContext(ctx, s.db.bind("DELETE FROM demo_hiding_reads WHERE name = ?"), user)
		return err
	}
	_, err := s.db.ExecContext(ctx, s.db.bind("INSERT INTO demo_hiding_reads (name) VALUES (?)"), user)
	if err == nil {
		return nil
	}
	users, failure := s.HidingReads(ctx)
	if failure == nil && slices.Contains(users, user) {
		return nil // it was set before, perhaps by another page at this moment
	}
	return err
}
