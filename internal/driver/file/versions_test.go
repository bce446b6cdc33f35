package file

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
)

// TestCNI11IsOfferedWhereAllPluginsKnowIt: a runtime that knows 1.1 takes it, and calls STATUS and GC; with one plugin that is
// missing, or is made without the library, the file stays at 1.0.0.
func TestCNI11IsOfferedWhereAllPluginsKnowIt(t *testing.T) {
	bin := t.TempDir()
	ours := filepath.Join(bin, waitPlugin)
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", ours, "kube-router/cmd/kube-router-cni")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"bridge", "host-local", "portmap", "bandwidth"} {
		must(t, os.Link(ours, filepath.Join(bin, name))) // any program with that library does
	}
	d := New(filepath.Join(t.TempDir(), "10-kuberouter.conflist"), "/nowhere", bin)
	want := d.row()
	must(t, apply(t, d, nil, &want))
	has(t, d, want)
	list, err := libcni.NetworkConfFromBytes([]byte(read1(t, d.path)))
	must(t, err)
	if list.CNIVersion != "1.1.0" || !strings.Contains(read1(t, d.path), `"cniVersion": "1.0.0"`) {
		t.Errorf("libcni takes %s of\n%s", list.CNIVersion, read1(t, d.path))
	}
	must(t, os.Remove(filepath.Join(bin, "portmap")))
	must(t, os.WriteFile(filepath.Join(bin, "portmap"), []byte("#!/bin/sh\n"), 0o755))
	drifted := want
	drifted.Ranges, drifted.MTU, drifted.Socket = New("").row().Ranges, 0, ""
	clear(drifted.Ranges[:])
	has(t, d, drifted)
	must(t, apply(t, d, &drifted, &want))
	has(t, d, want)
	if text := read1(t, d.path); strings.Contains(text, "1.1.0") {
		t.Errorf("a plugin that doesn't know it would refuse\n%s", text)
	}
	// A version that a user has chosen stays as it is.
	must(t, os.WriteFile(d.path, []byte(strings.Replace(read1(t, d.path), `"cniVersion": "1.0.0"`, `"cniVersion": "0.4.0"`, 1)), 0o644))
	must(t, apply(t, d, &drifted, &want))
	if text := read1(t, d.path); strings.Contains(text, "cniVersions") || !strings.Contains(text, `"0.4.0"`) {
		t.Errorf("the user's version:\n%s", text)
	}
}
