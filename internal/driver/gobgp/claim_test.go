package gobgp

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A speaker that can't say who it is doesn't run: nobody could find it, nor replace it.
func TestAnUnsignedPlaceIsNotClaimed(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/dev/full", filepath.Join(dir, lockName)); err != nil { // a disk without room
		t.Fatal(err)
	}
	f, _, err := (&Engine{Dir: dir}).claim()
	if err == nil {
		f.Close()
		t.Fatal("the place was claimed")
	}
	if !strings.Contains(err.Error(), "sign the speaker's place") {
		t.Error(err)
	}
}
