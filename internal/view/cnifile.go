package view

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kube-router/internal/model"
)

// cniFact tells which CNI file counts on this node: runtimes take the first by name.
func cniFact(path string) string {
	list, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return "unknown: " + err.Error()
	}
	ours, first, merged := filepath.Base(path), "", ""
	single := strings.TrimSuffix(ours, "list") // the name that would come before ours
	for _, e := range list {                   // sorted by name
		name := e.Name()
		switch {
		case single != ours && name == "."+single+".before-kube-router":
			merged = "; what " + single + " said is in it"
		case first == "" && slices.Contains([]string{".conf", ".conflist", ".json"}, filepath.Ext(name)):
			first = name
		}
	}
	switch first {
	case ours:
		return path + " counts" + merged
	case "":
		return path + " is not there yet"
	}
	return filepath.Join(filepath.Dir(path), first) + " counts, not " + ours
}

// connects tells which plugins connect new pods.
func connects(s model.CNISettings) string {
	if s.Plugin == model.PluginOwn {
		return "kube-router-cni alone (--cni-plugin=own)"
	}
	return "a chain of plugins (--cni-plugin=chain)"
}
