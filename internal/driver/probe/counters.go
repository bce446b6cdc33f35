package probe

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// WrongSignatures counts segments of TCP that came with a wrong MD5 signature (RFC 2385), with one that nobody expected,
// or without one that was expected: in Linux that is all that is ever seen of a wrong password.
func WrongSignatures(proc string) (uint64, error) {
	path := filepath.Join(proc, "thread-self/net/netstat")
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	sum, lines := uint64(0), strings.Split(string(text), "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
		for k := range min(len(names), len(values)) {
			if !strings.HasPrefix(names[k], "TCPMD5") {
				continue
			}
			n, err := strconv.ParseUint(values[k], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %s: %w", path, names[k], err)
			}
			sum += n
		}
	}
	return sum, nil
}
