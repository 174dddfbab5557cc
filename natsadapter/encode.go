package natsadapter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/msgdelivery/delivery"
)

var errTooLarge = errors.New("an update of a message takes more than the server allows")

// encode returns the JSON of an event, or of several events that together tell the same, each of up
// to limit bytes.
func encode(event delivery.Event, limit int) ([][]byte, error) {
	data, err := json.Marshal(&event)
	if err != nil {
		return nil, fmt.Errorf("encoding an event: %w", err)
	}
	if len(data) <= limit {
		return [][]byte{data}, nil
	}
	if len(event.Updates) > 1 {
		first, second := halves(event)
		some, err := encode(first, limit)
		if err != nil {
			return nil, err
		}
		others, err := encode(second, limit)
		return append(some, others...), err
	}
	if len(event.Updates) == 1 && event.Updates[0].Body != "" {
		event.Updates = []delivery.Update{event.Updates[0]}
		event.Updates[0].Body = "" // whoever shows the message fetches it
		return encode(event, limit)
	}
	return nil, errTooLarge
}

// halves splits an event. Each half covers a part of its versions, and both cover all of them.
func halves(event delivery.Event) (first, second delivery.Event) {
	first, second = event, event
	n := len(event.Updates) / 2
	first.Updates, second.Updates = event.Updates[:n:n], event.Updates[n:]
	first.To = max(event.From, min(first.Updates[n-1].Version, event.To)) // a replayed one may have later versions
	second.From = min(first.To+1, event.To)
	return first, second
}

// pack makes JSON arrays of up to limit bytes, in order, of what fits into them.
func pack(items [][]byte, limit int) (arrays [][]byte) {
	var array bytes.Buffer
	for i, item := range items {
		array.WriteByte("[,"[min(array.Len(), 1)])
		array.Write(item)
		if i+1 == len(items) || array.Len()+len(items[i+1])+len(",]") > limit {
			array.WriteByte(']')
			arrays = append(arrays, bytes.Clone(array.Bytes()))
			array.Reset()
		}
	}
	return arrays
}
