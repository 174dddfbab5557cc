package chaos

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/msgdelivery/delivery"
)

// judge compares what was asked, acknowledged, stored and told.
func (c *checker) judge() {
	for key, h := range c.receipts {
		c.judgeReceipt(key, h)
	}
	c.judgeMessages()
	c.judgeVersions()
}

func (c *checker) judgeReceipt(key receiptKey, h *history) {
	v := &c.verdict
	if h.stored < h.acked {
		v.Lost.add("%s of %s was acknowledged as %v and is %v", key.message, key.recipient, h.acked, h.stored)
	}
	if h.told < h.stored {
		v.Lost.add("%s of %s is %v and nobody was told more than %v", key.message, key.recipient, h.stored, h.told)
	}
	if h.told > h.stored {
		v.Unexpected.add("%s of %s was told as %v and is %v", key.message, key.recipient, h.told, h.stored)
	}
	if h.stored.Valid() && !h.asked[h.stored] {
		v.Unexpected.add("%s of %s is %v, and nobody asked for it", key.message, key.recipient, h.stored)
	}
	if _, exists := c.stored[key.message]; h.stored.Valid() && (!exists || key.recipient == c.senderOf(key.message)) {
		v.Unexpected.add("%s has a receipt of %s, who may have none", key.message, key.recipient)
	}
	for _, status := range []delivery.Status{delivery.Delivered, delivery.Read} {
		if h.changed[status] > 1 {
			v.Backwards.add("%s of %s became %v %d times", key.message, key.recipient, status, h.changed[status])
		}
	}
	slices.SortFunc(h.steps, func(a, b step) int { return cmp.Or(cmp.Compare(a.version, b.version), cmp.Compare(a.status, b.status)) })
	for i, s := range h.steps {
		if !h.asked[s.status] {
			v.Unexpected.add("%s of %s was told as %v, and nobody asked for it", key.message, key.recipient, s.status)
		}
		if i > 0 && s != h.steps[i-1] && s.status <= h.steps[i-1].status {
			v.Backwards.add("%s of %s was told as %v at version %d, and as %v at version %d",
				key.message, key.recipient, h.steps[i-1].status, h.steps[i-1].version, s.status, s.version)
		}
	}
}

// senderOf is the sender of a message of the world; the tables may say otherwise if something is wrong.
func (c *checker) senderOf(message string) string {
	_, rest, _ := strings.Cut(message, "-")
	if m, err := strconv.Atoi(rest); err == nil {
		return c.world.sender(m)
	}
	return c.world.sender(0)
}

func (c *checker) judgeMessages() {
	v := &c.verdict
	for message := range c.acked {
		if _, exists := c.stored[message]; !exists {
			v.Lost.add("%s was acknowledged as sent and is not there", message)
		}
	}
	for message := range c.stored {
		if !c.announced[message] {
			v.Lost.add("%s was sent and nobody was told", message)
		}
		if strings.Contains(message, "-new-") && !c.asked[message] {
			v.Unexpected.add("%s is there, and nobody sent it", message)
		}
	}
	for message := range c.announced {
		if _, exists := c.stored[message]; !exists {
			v.Unexpected.add("%s was announced and is not there", message)
		}
	}
}

// judgeVersions sees whether the events of each conversation cover each of its versions.
func (c *checker) judgeVersions() {
	v := &c.verdict
	for conversation, version := range c.state.Versions {
		for at := int64(1); at <= version; at++ {
			if _, told := c.told[change{conversation, at}]; !told {
				v.Lost.add("%s: no event covers version %d", conversation, at)
			}
		}
	}
	for at := range c.told {
		if version := c.state.Versions[at.conversation]; at.version > version {
			v.Unexpected.add("%s is at version %d, and an event covers version %d", at.conversation, version, at.version)
		}
	}
}
