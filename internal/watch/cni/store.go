package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kube-router/internal/model"
)

// store keeps attachments in a directory, one file each.
type store struct{ dir string }

// path is the file of an attachment. CNI allows neither a slash nor an @ in a container id.
func (s store) path(n model.Name) (string, error) {
	file := n.Namespace + "@" + n.Name + ".json"
	if n.Namespace == "" || n.Name == "" || strings.ContainsAny(file, "/\x00") {
		return "", fmt.Errorf("%q is no container and interface", n)
	}
	return filepath.Join(s.dir, file), nil
}

func (s store) put(a *model.Attachment) error {
	path, err := s.path(a.Ref().Name)
	if err != nil {
		return err
	}
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (s store) remove(n model.Name) error {
	path, err := s.path(n)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// load reads all attachments whose network namespace is still there, and removes the others and whatever
// can't be read: those are of pods that have gone, or that will be told again.
func (s store) load() ([]*model.Attachment, error) {
	files, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []*model.Attachment
	for _, f := range files {
		path := filepath.Join(s.dir, f.Name())
		a := &model.Attachment{}
		text, err := os.ReadFile(path)
		if err != nil || json.Unmarshal(text, a) != nil || !strings.HasSuffix(path, ".json") || gone(a.Netns) {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			continue
		}
		list = append(list, a)
	}
	return list, nil
}

// gone tells whether a network namespace is known to be no more. Where the runtime's paths can't be seen
// from here nothing is known.
func gone(netns string) bool {
	if _, err := os.Stat(filepath.Dir(netns)); netns == "" || err != nil {
		return false
	}
	_, err := os.Stat(netns)
	return errors.Is(err, fs.ErrNotExist)
}
