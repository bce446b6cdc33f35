package view

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhichCNIFileCounts(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "10-kuberouter.conflist")
	for _, step := range []struct{ file, want string }{
		{"README", path + " is not there yet"},
		{"10-kuberouter.conflist", path + " counts"},
		{".10-kuberouter.conf.before-kube-router", path + " counts; what 10-kuberouter.conf said is in it"},
		{"10-kuberouter.conf", filepath.Join(dir, "10-kuberouter.conf") + " counts, not 10-kuberouter.conflist"},
	} {
		if err := os.WriteFile(filepath.Join(dir, step.file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := cniFact(path); got != step.want {
			t.Errorf("after %s: %q, want %q", step.file, got, step.want)
		}
	}
	if got := cniFact("/nowhere/10.conf"); !strings.HasPrefix(got, "unknown") {
		t.Error(got)
	}
}
