package config

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/spf13/pflag"
)

// host is the environment and the files of a test.
type host struct {
	env   map[string]string
	files map[string]string
}

func (h host) getenv(k string) string { return h.env[k] }

func (h host) read(path string) ([]byte, error) {
	if s, ok := h.files[path]; ok {
		return []byte(s), nil
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("no such file or directory")}
}

func plain() host { return host{env: map[string]string{"NODE_NAME": "n1"}} }

// parse runs a command line through the package.
func parse(t *testing.T, h host, args ...string) (*Options, error) {
	t.Helper()
	set := pflag.NewFlagSet("test", pflag.ContinueOnError)
	raw := Flags(set)
	if err := set.Parse(args); err != nil {
		t.Fatalf("parsing %q: %v", args, err)
	}
	return raw.Options(h.getenv, h.read)
}

func TestDefaultsAreValid(t *testing.T) {
	o, err := parse(t, plain())
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Remarks) != 0 {
		t.Errorf("defaults are remarked upon: %q", o.Remarks)
	}
}
