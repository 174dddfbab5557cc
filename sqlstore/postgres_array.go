package sqlstore

import (
	"strconv"
	"time"
)

// pgArray is an array of Postgres as text, which every driver can pass. It grows by an element a
// call.
type pgArray []byte

func (a *pgArray) next() {
	if len(*a) == 0 {
		*a = append(*a, '{')
	} else {
		*a = append(*a, ',')
	}
}

func (a *pgArray) number(n int64) {
	a.next()
	*a = strconv.AppendInt(*a, n, 10)
}

func (a *pgArray) text(s string) {
	a.next()
	text := append(*a, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			text = append(text, '\\')
		}
		text = append(text, s[i])
	}
	*a = append(text, '"')
}

func (a *pgArray) time(t time.Time) {
	a.next()
	*a = t.UTC().AppendFormat(*a, `"2006-01-02T15:04:05.999999Z"`)
}

func (a *pgArray) String() string {
	if len(*a) == 0 {
		return "{}"
	}
	return string(*a) + "}"
}
