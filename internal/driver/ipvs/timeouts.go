package ipvs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"kube-router/internal/row"
)

// The timeouts are the kernel's for all that uses IPVS, and nothing there tells who set them. So what they were before is kept in a file,
// and its presence tells that they are ours now.

// dumpTimeouts adds the timeouts if they are ours. What we left alone is hidden; a later life of the daemon doesn't know what that is, and
// sets all that it wants once more.
func (d *Driver) dumpTimeouts(rows map[row.IpvsKey]row.Ipvs) error {
	if d.timeouts == nil && !d.haveOriginals() {
		return nil
	}
	have, err := d.kernel.Timeouts()
	if err != nil {
		return err
	}
	if d.timeouts != nil {
		have.TCP, have.TCPFin, have.UDP = asked(have.TCP, d.timeouts.TCP), asked(have.TCPFin, d.timeouts.TCPFin), asked(have.UDP, d.timeouts.UDP)
	}
	rows[have.Key()] = have
	return nil
}

// asked hides a timeout that we left alone.
func asked(have, set time.Duration) time.Duration {
	if set == 0 {
		return 0
	}
	return have
}

func (d *Driver) applyTimeouts(c change) error {
	if c.New == nil {
		return d.restoreTimeouts()
	}
	t := (*c.New).(row.IpvsTimeouts)
	if err := d.rememberTimeouts(); err != nil {
		return err
	}
	if err := d.kernel.SetTimeouts(t); err != nil {
		return err
	}
	d.timeouts = &t
	return nil
}

func (d *Driver) haveOriginals() bool {
	if d.Originals == "" {
		return false
	}
	_, err := os.Stat(d.Originals)
	return err == nil
}

// rememberTimeouts keeps what the timeouts are, if that isn't done yet.
func (d *Driver) rememberTimeouts() error {
	if d.Originals == "" || d.haveOriginals() {
		return nil
	}
	t, err := d.kernel.Timeouts()
	if err != nil {
		return err
	}
	text, err := json.Marshal(t)
	if err == nil {
		err = os.WriteFile(d.Originals, append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep what the timeouts were: %w", err)
	}
	return nil
}

// restoreTimeouts puts back what was there before us.
func (d *Driver) restoreTimeouts() error {
	d.timeouts = nil
	if d.Originals == "" {
		return nil
	}
	text, err := os.ReadFile(d.Originals)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var t row.IpvsTimeouts
	if err == nil {
		err = json.Unmarshal(text, &t)
	}
	if err != nil {
		return fmt.Errorf("what the timeouts were: %w", err)
	}
	if err := d.kernel.SetTimeouts(t); err != nil {
		return err
	}
	return os.Remove(d.Originals)
}
