package lab

import (
	"os"
	"runtime"
	"strings"
)

// Processor returns the processor's name, as far as the system tells.
func Processor() string { return field("/proc/cpuinfo", "model name", runtime.GOARCH) }

// System returns the operating system and how much memory it has, as far as it tells.
func System() string {
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	return "Linux " + strings.TrimSpace(string(kernel)) + ", " + field("/proc/meminfo", "MemTotal", "unknown") + " of memory"
}

// field returns the first value with a name in a file of lines "name : value".
func field(file, name, otherwise string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return otherwise
}
