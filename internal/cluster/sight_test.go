package cluster

import (
	"slices"
	"strings"
	"testing"
	"time"

	"kube-router/internal/intent"
)

// TestKindsAreTheDaemons: numbers of frontends' kinds mean what the daemon means.
func TestKindsAreTheDaemons(t *testing.T) {
	for i, kind := range kinds() {
		if got := intent.FrontKind(i).String(); got != kind {
			t.Errorf("%d is %q, the daemon says %q", i, kind, got)
		}
	}
}

func TestLines(t *testing.T) {
	var got []string
	l := &lines{each: func(line []byte) { got = append(got, string(line)) }}
	for _, part := range []string{"a", "b\nc\n\nd", "\ne"} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if want := []string{"ab", "c", "", "d"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if _, err := l.Write([]byte(strings.Repeat("x", longest))); err == nil {
		t.Error("a line without an end is kept for ever")
	}
}

// TestFollowAgain: what is asked after a connection was lost begins where that ended.
func TestFollowAgain(t *testing.T) {
	if got := strings.Join(followArgs(100, time.Time{}), " "); got != "kube-router flows --follow -o json --last=100" {
		t.Error(got)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	if got := strings.Join(followArgs(100, at), " "); got != "kube-router flows --follow -o json --since=2026-01-02T03:04:05Z" {
		t.Error(got)
	}
}
