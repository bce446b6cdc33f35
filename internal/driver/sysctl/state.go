package sysctl

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kube-router/internal/row"
)

// entry is what the state file keeps of one setting.
type entry struct {
	Row      row.Sysctl // what we made of it
	Original string     // what it was before
}

// load reads the state file; a missing one is empty.
func load(path string) (map[string]entry, error) {
	saved := map[string]entry{}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return saved, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &saved); err != nil {
		return nil, fmt.Errorf("%s, the memory of changed settings, is damaged: %w", path, err)
	}
	return saved, nil
}

// store replaces the state file in one step. With nothing to keep there is no file.
func store(path string, saved map[string]entry) error {
	if len(saved) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(saved, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", b, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
