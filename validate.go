package delivery

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"
)

// checkID checks an id of a message, conversation or user.
func checkID(field, id string) error {
	if id == "" {
		return &InvalidError{Field: field, Reason: "is empty"}
	}
	if len(id) > MaxID {
		return &InvalidError{Field: field, Reason: fmt.Sprintf("is longer than %d bytes", MaxID)}
	}
	return checkText(field, id)
}

// checkAfter checks the recipient after whom a page begins. A store may have longer names for users
// who were erased.
func checkAfter(after string) error {
	if len(after) > 2*MaxID {
		return &InvalidError{Field: "after", Reason: fmt.Sprintf("is longer than %d bytes", 2*MaxID)}
	}
	return checkText("after", after)
}

func (a Actor) check() error {
	if err := checkID("user", a.User); err != nil {
		return err
	}
	if a.Hide > HideAll {
		return &InvalidError{Field: "hide", Reason: "is not HideNothing, HideRead or HideAll"}
	}
	return checkSocket(a.Socket)
}

func checkSocket(socket string) error {
	if socket == "" {
		return nil
	}
	return checkID("socket", socket)
}

// trace asks the app for the trace of a call.
func (t *Tracker) trace(ctx context.Context) string {
	if t.opts.Trace == nil {
		return ""
	}
	trace := t.opts.Trace(ctx)
	if len(trace) > MaxTrace || checkText("trace", trace) != nil {
		return ""
	}
	return trace
}

func tooMany(field string, most int) error {
	return &InvalidError{Field: field, Reason: fmt.Sprintf("are more than %d", most)}
}

// checkText refuses what not every database can keep.
func checkText(field, text string) error {
	if !utf8.ValidString(text) {
		return &InvalidError{Field: field, Reason: "is not valid UTF-8"}
	}
	if strings.ContainsRune(text, 0) {
		return &InvalidError{Field: field, Reason: "contains NUL"}
	}
	return nil
}

// checkMarking checks the status of a mark: what one can claim.
func checkMarking(s Status) error {
	if s != Delivered && s != Read {
		return &InvalidError{Field: "status", Reason: "is not delivered or read"}
	}
	return nil
}

// checkLimit applies a page's default and bound.
func checkLimit(limit int) (int, error) {
	switch {
	case limit == 0:
		return 50, nil
	case limit < 0 || limit > MaxBatch:
		return 0, &InvalidError{Field: "limit", Reason: fmt.Sprintf("is not between 1 and %d", MaxBatch)}
	}
	return limit, nil
}

// checkTx refuses what cannot be a transaction under way: a whole database, for one, on which every
// statement would commit by itself.
func checkTx(tx DBTX) error {
	if v := reflect.ValueOf(tx); tx == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return &InvalidError{Field: "tx", Reason: "is nil"}
	}
	switch tx.(type) {
	case *sql.Conn, interface {
		Commit() error
		Rollback() error
	}:
		return nil
	}
	return &InvalidError{Field: "tx", Reason: "is not a transaction: it has no Commit and Rollback"}
}
