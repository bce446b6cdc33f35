package wireguard

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/row"
)

// private is a private key. Nothing prints it: it has no String, and hides from %v and %#v.
type private struct{ key *ecdh.PrivateKey }

// String hides the key.
func (private) String() string { return "(secret)" }

// GoString hides the key.
func (private) GoString() string { return "(secret)" }

func (p private) public() row.WireKey {
	if p.key == nil {
		return row.WireKey{}
	}
	return row.WireKey(p.key.PublicKey().Bytes())
}

// Keys is the file with this node's private keys: one that counts, and while it is changed another. Each is a line: its place,
// and 44 letters of base64.
type Keys struct{ path string }

// NewKeys names the file. It is made when it is first asked for.
func NewKeys(path string) *Keys { return &Keys{path: path} }

// Public are the keys that this node is known by, made if there are none: the one that counts, and the next one or the one
// before; zero: there is none. A file that others can read or that can't be understood is an error: a new key in its
// place would be a surprise.
func (k *Keys) Public() (key, also row.WireKey, err error) {
	list, err := k.read()
	if errors.Is(err, os.ErrNotExist) {
		var made *ecdh.PrivateKey
		if made, err = ecdh.X25519().GenerateKey(rand.Reader); err == nil {
			list = []private{{made}}
			err = k.write(list, true)
		}
	}
	if err != nil {
		return row.WireKey{}, row.WireKey{}, err
	}
	key = list[0].public()
	if len(list) > 1 {
		also = list[1].public()
	}
	return key, also, nil
}

// Due is when the key is to be changed so that none becomes older than some time. Nodes that began together don't change theirs
// together: by what the public key is, it is up to a tenth earlier.
func (k *Keys) Due(every time.Duration) (time.Time, error) {
	key, _, err := k.Public()
	if err != nil {
		return time.Time{}, err
	}
	info, err := os.Stat(k.path)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the age of the key of WireGuard: %w", err)
	}
	return info.ModTime().Add(every - every/10*time.Duration(key[0])/256), nil
}

// again is how long it takes until a key that is too old is changed once more where that failed.
const again = time.Minute

// Old fires when the key is as old as it may become; 0: never. A change that failed has written the file: how old the key is is no longer known.
func (k *Keys) Old(every time.Duration, failed bool) (fires <-chan time.Time, stop func()) {
	if every == 0 {
		return nil, func() {}
	}
	gap := again
	if at, err := k.Due(every); err == nil && !failed {
		gap = time.Until(at)
	}
	timer := time.NewTimer(max(gap, 0))
	return timer.C, func() { timer.Stop() }
}

// Prepare makes a second key, unless there is one. It counts when Swap says so.
func (k *Keys) Prepare() error {
	list, err := k.read()
	if err != nil || len(list) > 1 {
		return err
	}
	next, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	return k.write(append(list, private{next}), false)
}

// Swap lets the second key count; the first is kept beside it.
func (k *Keys) Swap() error {
	list, err := k.read()
	if err != nil || len(list) < 2 {
		return err
	}
	return k.write([]private{list[1], list[0]}, false)
}

// Forget removes the second key.
func (k *Keys) Forget() error {
	list, err := k.read()
	if err != nil || len(list) < 2 {
		return err
	}
	return k.write(list[:1], false)
}

// find is the private key that belongs to a public one.
func (k *Keys) find(public row.WireKey) (private, error) {
	list, err := k.read()
	if err != nil {
		return private{}, err
	}
	for _, p := range list {
		if p.public() == public {
			return p, nil
		}
	}
	return private{}, fmt.Errorf("%s has no key of which %s is the public part", k.path, public)
}

func (k *Keys) read() ([]private, error) {
	f, err := os.OpenFile(k.path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("read the key of WireGuard: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the key of WireGuard: %w", err)
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("read the key of WireGuard: %s must be a file that its owner alone may read (chmod 600); it has mode %s", k.path, info.Mode())
	case info.Size() > 4096:
		return nil, fmt.Errorf("read the key of WireGuard: %s is too long", k.path)
	}
	text := make([]byte, info.Size())
	if _, err := f.Read(text); err != nil && len(text) > 0 {
		return nil, fmt.Errorf("read the key of WireGuard: %w", err)
	}
	return parseKeys(k.path, string(text))
}

// parseKeys never says what it could not read.
func parseKeys(path, text string) ([]private, error) {
	var list []private
	for line := range strings.Lines(text) {
		raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(line))
		if err != nil || len(raw) != 32 {
			return nil, fmt.Errorf("read the key of WireGuard: a line of %s is no key", path)
		}
		key, err := ecdh.X25519().NewPrivateKey(raw)
		if err != nil {
			return nil, fmt.Errorf("read the key of WireGuard: a line of %s is no key", path)
		}
		list = append(list, private{key})
	}
	if len(list) == 0 || len(list) > 2 {
		return nil, fmt.Errorf("read the key of WireGuard: %s has %d lines, not one or two", path, len(list))
	}
	return list, nil
}

// write puts the file in its place at once, or leaves what is there. With fresh set it never replaces one.
func (k *Keys) write(list []private, fresh bool) error {
	fail := func(err error) error { return fmt.Errorf("write the key of WireGuard: %w", err) }
	dir := filepath.Dir(k.path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fail(err)
	}
	f, err := os.CreateTemp(dir, ".wireguard-*") // 0600 from its first moment
	if err != nil {
		return fail(err)
	}
	defer os.Remove(f.Name())
	var text strings.Builder
	for _, p := range list {
		text.WriteString(base64.StdEncoding.EncodeToString(p.key.Bytes()) + "\n")
	}
	_, err = f.WriteString(text.String())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fail(err)
	}
	if fresh {
		err = os.Link(f.Name(), k.path)
	} else {
		err = os.Rename(f.Name(), k.path)
	}
	if err != nil {
		return fail(err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fail(err)
	}
	defer d.Close()
	return d.Sync()
}
