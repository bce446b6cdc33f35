package names

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// journal is the file of what is known: a line for each address, with the Unix time until which it counts; the last of an address is true.
// It is appended to, and written anew when most of it is history. A daemon that is killed loses nothing that way.
type journal struct {
	path  string
	file  *os.File
	size  int  // lines
	stale bool // it may have what is not known any more
	told  bool // that it can't be written
}

type line struct {
	name  string
	addr  netip.Addr
	until time.Time
}

func (l line) append(b []byte) []byte {
	return append(strconv.AppendInt(append(l.addr.AppendTo(append(append(b, l.name...), ' ')), ' '), l.until.Unix(), 10), '\n')
}

// parseLine reads a line; false for one that isn't whole, or isn't ours.
func parseLine(text []byte) (l line, ok bool) {
	f := bytes.Fields(text)
	if len(f) != 3 || !isHost(string(f[0])) {
		return l, false
	}
	a, err := netip.ParseAddr(string(f[1]))
	n, err2 := strconv.ParseInt(string(f[2]), 10, 64)
	return line{string(f[0]), a, time.Unix(n, 0)}, err == nil && err2 == nil && opens(a) && a.Zone() == ""
}

// journalMost is more than a journal ever has in bytes.
const journalMost = 256 << 20

func (j *journal) load() (list []line, err error) {
	info, err := os.Stat(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && info.Size() > journalMost {
		err = fmt.Errorf("%s has %d bytes", j.path, info.Size())
	}
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(j.path)
	if err != nil {
		return nil, err
	}
	last := bytes.LastIndexByte(text, '\n') // what is behind was being written
	for one := range bytes.Lines(text[:last+1]) {
		j.size++
		if l, ok := parseLine(one); ok {
			list = append(list, l)
		}
	}
	j.stale = last+1 < len(text)
	return list, nil
}

// add appends lines.
func (j *journal) add(lines []line, log *slog.Logger) {
	err := j.open()
	if err == nil {
		var b []byte
		for _, l := range lines {
			b = l.append(b)
		}
		_, err = j.file.Write(b)
		j.size += len(lines)
	}
	j.tell(err, log)
}

func (j *journal) open() (err error) {
	if j.file != nil {
		return nil
	}
	if err = os.MkdirAll(filepath.Dir(j.path), 0o700); err == nil {
		j.file, err = os.OpenFile(j.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	}
	return err
}

// grown tells whether it is to be written anew.
func (j *journal) grown(known int) bool { return j.stale || j.size > 4*known+1000 }

func (j *journal) rewrite(lines []line, log *slog.Logger) {
	var b []byte
	for _, l := range lines {
		b = l.append(b)
	}
	err := os.MkdirAll(filepath.Dir(j.path), 0o700)
	if err == nil {
		err = os.WriteFile(j.path+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(j.path+".new", j.path)
	}
	if j.file != nil {
		_ = j.file.Close() // what it had is in the new one
		j.file = nil
	}
	j.size, j.stale = len(lines), false
	j.tell(err, log)
}

// tell logs the first failure.
func (j *journal) tell(err error, log *slog.Logger) {
	if err != nil && !j.told {
		log.Warn("what domain names stand for will not be known after a restart", "error", err)
	}
	j.told = err != nil
}
