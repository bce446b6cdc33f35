package sysctl

import (
	"os"
	"path/filepath"
)

// NewFake makes the driver over a folder that plays /proc/sys and holds one file per setting given. It
// is the same code on other files, so the fake can't differ from the driver.
func NewFake(folder string, settings map[string]string) (*Driver, error) {
	d := &Driver{root: filepath.Join(folder, "sys"), state: filepath.Join(folder, "state.json")}
	for name, value := range settings {
		path := filepath.Join(d.root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, []byte(value+"\n"), 0o644); err != nil {
			return nil, err
		}
	}
	return d, nil
}
