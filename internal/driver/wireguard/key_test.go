package wireguard

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// leaks fails where a value prints a private key, in whatever form.
func leaks(t *testing.T, p private, values ...any) {
	t.Helper()
	raw := p.key.Bytes()
	for _, v := range values {
		text := fmt.Sprintf("%v %+v %#v %s", v, v, v, v)
		for _, form := range []string{base64.StdEncoding.EncodeToString(raw), hex.EncodeToString(raw), string(raw), strings.Trim(fmt.Sprint(raw), "[]")} {
			if strings.Contains(text, form) {
				t.Errorf("a private key shows in %T", v)
			}
		}
	}
}

func TestKeysAreMadeOnce(t *testing.T) {
	keys := NewKeys(filepath.Join(t.TempDir(), "a", "wireguard.key"))
	first, also, err := keys.Public()
	if err != nil || also != ([32]byte{}) {
		t.Fatal(first, also, err)
	}
	again, _, err := NewKeys(keys.path).Public()
	if err != nil || again != first {
		t.Fatalf("%s became %s, %v", first, again, err)
	}
	// What one daemon made stands when two begin at once.
	list, _ := keys.read()
	if err := keys.write(list, true); err == nil {
		t.Error("a fresh key took the place of one that is there")
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(keys.path), ".wireguard-*"))
	if err != nil || len(left) > 0 {
		t.Error("left behind: ", left, err)
	}
}

func TestKeysChangePlaces(t *testing.T) {
	keys := NewKeys(filepath.Join(t.TempDir(), "wireguard.key"))
	first, _, _ := keys.Public()
	for _, step := range []func() error{keys.Prepare, keys.Prepare} { // the second does nothing
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	key, next, _ := keys.Public()
	if key != first || next == first || next == ([32]byte{}) {
		t.Fatal(key, next)
	}
	if err := keys.Swap(); err != nil {
		t.Fatal(err)
	}
	if key, also, _ := keys.Public(); key != next || also != first {
		t.Fatal("after the swap: ", key, also)
	}
	if err := keys.Forget(); err != nil {
		t.Fatal(err)
	}
	if key, also, _ := keys.Public(); key != next || also != ([32]byte{}) {
		t.Fatal("at the end: ", key, also)
	}
	if _, err := keys.find(first); err == nil {
		t.Error("an old key is still known")
	}
}

func TestBadKeyFilesAreErrors(t *testing.T) {
	good := NewKeys(filepath.Join(t.TempDir(), "good"))
	if _, _, err := good.Public(); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(good.path)
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
	}{
		{"others may read it", string(text), 0o640},
		{"nothing in it", "", 0o600},
		{"no key in it", "hello\n", 0o600},
		{"a short key", "aGVsbG8=\n", 0o600},
		{"three keys", strings.Repeat(string(text), 3), 0o600},
		{"far too long", strings.Repeat(string(text), 300), 0o600},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "wireguard.key")
			if err := os.WriteFile(path, []byte(c.text), c.mode); err != nil {
				t.Fatal(err)
			}
			key, _, err := NewKeys(path).Public()
			if err == nil {
				t.Fatalf("taken: %s", key)
			}
			if strings.Contains(err.Error(), strings.TrimSpace(string(text))) {
				t.Errorf("the error tells the key: %v", err)
			}
			if now, _ := os.ReadFile(path); string(now) != c.text {
				t.Error("the file was changed")
			}
		})
	}
}

// TestDue: a key is changed before it is too old, but not much before.
func TestDue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	k := NewKeys(path)
	if _, err := k.Due(time.Hour); err != nil {
		t.Fatal("there is no key before it is asked for:", err)
	}
	made := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := os.Chtimes(path, made, made); err != nil {
		t.Fatal(err)
	}
	at, err := k.Due(100 * time.Hour)
	if age := at.Sub(made); err != nil || age > 100*time.Hour || age < 90*time.Hour {
		t.Errorf("due at the age of %s, %v", age, err)
	}
	if again, _ := k.Due(100 * time.Hour); !again.Equal(at) {
		t.Errorf("due at %s, then at %s", at, again)
	}
}
