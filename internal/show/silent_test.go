package show

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// TestAskADaemonThatHangs shows that who asks a daemon that takes the question and never answers is told so.
func TestAskADaemonThatHangs(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "control.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Ask(ctx, socket, "summary", nil); !errors.Is(err, ErrSilent) {
		t.Errorf("it hangs: %v", err)
	}
	l.Close()
	if _, err := Ask(t.Context(), socket, "summary", nil); err == nil || errors.Is(err, ErrSilent) {
		t.Errorf("it doesn't run: %v", err)
	}
	if patience("summary") > 10*time.Second {
		t.Error("nobody waits that long for the first look")
	}
}
