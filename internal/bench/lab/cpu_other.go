//go:build !linux

package lab

// CPU returns zeros: only Linux is asked.
func (d Database) CPU() CPU { return CPU{} }
