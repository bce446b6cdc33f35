package nft

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// newOwner is a driver that owns its tables.
func newOwner(t testing.TB, s space) *Driver {
	t.Helper()
	d := newDriver(t, s)
	if !d.Own() {
		t.Fatal("this kernel knows no owners that tables outlive (Linux 6.9)")
	}
	return d
}

// try runs the nft program there and gives what it says.
func (s space) try(args ...string) (out string, err error) {
	inThread(func() {
		if err = unix.Setns(s.fd, unix.CLONE_NEWNET); err != nil {
			return
		}
		var text []byte
		text, err = exec.Command("nft", args...).CombinedOutput()
		out = string(text)
	})
	return out, err
}

// stands fails unless the tables are as wanted.
func stands(t testing.TB, d *Driver, want map[row.NftKey]row.Nft) {
	t.Helper()
	if diff := cmp.Diff(printed(want), dumped(t, d)); diff != "" {
		t.Error(diff)
	}
}

// TestOthersCanNotFlushWhatIsOwned: neither the whole ruleset nor a part of ours, and they can look.
func TestOthersCanNotFlushWhatIsOwned(t *testing.T) {
	needTool(t)
	s := newSpace(t)
	d := newOwner(t, s)
	want := index(sample())
	mustApply(t, d, nil, want)
	s.nft(t, "", "add", "table", "inet", "theirs")
	s.nft(t, "", "flush", "ruleset")
	stands(t, d, want)
	for _, family := range []string{"inet", "bridge"} {
		for _, what := range []string{"delete table", "flush table", "add chain"} {
			args := append(strings.Fields(what), family, row.NftTable)
			if strings.HasPrefix(what, "add") {
				args = append(args, "more")
			}
			if out, err := s.try(args...); err == nil || !strings.Contains(out, "not permitted") {
				t.Errorf("nft %s: %v %s", args, err, out)
			}
		}
	}
	stands(t, d, want)
	text := s.nft(t, "", "list", "ruleset")
	if strings.Contains(text, "theirs") || !strings.Contains(text, "policy-forward") {
		t.Errorf("the tool sees:\n%s", text)
	}
	s.nft(t, "", "-j", "list", "ruleset")
	mustApply(t, d, want, nil)
	if text := s.nft(t, "", "list", "ruleset"); text != "" {
		t.Errorf("after cleanup:\n%s", text)
	}
}

// TestTheNextLifeOwns: what an owner leaves stands, is taken by the first look of the next, and by nobody else's while one lives.
func TestTheNextLifeOwns(t *testing.T) {
	needTool(t)
	s := newSpace(t)
	first := newOwner(t, s)
	want := index(sample())
	mustApply(t, first, nil, want)
	second := newOwner(t, s)
	if _, err := second.Dump(t.Context()); !errors.Is(err, errOwned) || !errors.Is(err, unix.EPERM) {
		t.Errorf("a look while the first lives: %v", err)
	}
	extra := rule1("policy-pod", 9, row.NftStmt{Op: row.NftAccept})
	if err := second.Apply(t.Context(), adds(extra)); !errors.Is(err, errOwned) {
		t.Errorf("a change while the first lives: %v", err)
	}
	stands(t, newDriver(t, s), want) // who owns nothing may look
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	stands(t, second, want)
	s.nft(t, "", "flush", "ruleset")
	stands(t, second, want)
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	// An older version, and cleanup: they change what is free as they always did.
	older := newDriver(t, s)
	fewer := index(sample())
	for k, r := range fewer {
		if e, ok := r.(row.NftElement); ok && !e.Of.Value().Interval && e.Verdict == (row.NftJump{}) {
			delete(fewer, k)
			break
		}
	}
	mustApply(t, older, want, fewer)
	stands(t, older, fewer)
	third := newOwner(t, s)
	mustApply(t, third, mustDump(t, third), want)
	s.nft(t, "", "flush", "ruleset")
	stands(t, third, want)
	_ = third.Close()
	mustApply(t, older, mustDump(t, older), nil)
	if text := s.nft(t, "", "list", "ruleset"); text != "" {
		t.Errorf("after cleanup:\n%s", text)
	}
}

// TestATableWithoutOwnerIsMadeAnew: an older version's can't be given one, so that it is replaced, at once.
func TestATableWithoutOwnerIsMadeAnew(t *testing.T) {
	needTool(t)
	s := newSpace(t)
	want := index(sample())
	mustApply(t, newDriver(t, s), nil, want)
	d := newOwner(t, s)
	have := mustDump(t, d)
	if len(have) != 2 || have[otherTable(false).Key()] == nil || have[otherTable(true).Key()] == nil {
		t.Fatalf("the dump: %v", printed(have))
	}
	mustApply(t, d, have, want)
	stands(t, d, want)
	s.nft(t, "", "flush", "ruleset")
	stands(t, d, want)
}

// TestManyTransactionsOwn: what takes several is owned from the first to the last.
func TestManyTransactionsOwn(t *testing.T) {
	needTool(t)
	s := newSpace(t)
	d := newOwner(t, s)
	want := index(nil)
	for _, c := range services(6000, 3) {
		want[c.Key] = *c.New
	}
	mustApply(t, d, nil, want)
	s.nft(t, "", "flush", "ruleset")
	if have := mustDump(t, d); len(have) != len(want) {
		t.Errorf("%d rows stand, want %d", len(have), len(want))
	}
	mustApply(t, d, want, nil)
}
