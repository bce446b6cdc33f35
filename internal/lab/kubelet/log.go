package kubelet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// followEvery is how often a log that is followed is looked at for more.
const followEvery = 50 * time.Millisecond

// stamped finds the time in a line of the daemon's log.
var stamped = regexp.MustCompile(`^time=(\S+) `)

// Log writes what the pod's program has said, and with Follow goes on until the context ends or the pod goes. A pod that stands for the daemon has all that
// its node's daemon has logged, through all its lives; other pods' servers say nothing. Lines without a time have that of the last line before that has one.
func (p *Pod) Log(ctx context.Context, opts *corev1.PodLogOptions, to io.Writer) error {
	if !p.daemon() {
		return nil
	}
	file, err := os.Open(p.kubelet.DaemonLog)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("log of pod %s: %w", p.Name(), err)
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		return fmt.Errorf("log of pod %s: %w", p.Name(), err)
	}
	view := logView{opts: opts, to: to, left: -1}
	if opts.LimitBytes != nil {
		view.left = *opts.LimitBytes
	}
	if opts.SinceSeconds != nil {
		view.since = time.Now().Add(-time.Duration(*opts.SinceSeconds) * time.Second)
	} else if opts.SinceTime != nil {
		view.since = opts.SinceTime.Time
	}
	lines := view.chosen(view.whole(text))
	if n := opts.TailLines; n != nil {
		lines = lines[max(0, len(lines)-int(*n)):]
	}
	for err = view.write(lines); err == nil && opts.Follow && p.Space() != nil; err = view.write(view.chosen(view.whole(text))) {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followEvery):
		}
		if text, err = io.ReadAll(file); err != nil {
			return fmt.Errorf("log of pod %s: %w", p.Name(), err)
		}
	}
	if errors.Is(err, io.EOF) { // as much as was asked for
		return nil
	}
	return err
}

// logView is one reader's view of a log.
type logView struct {
	opts  *corev1.PodLogOptions
	to    io.Writer
	since time.Time
	at    time.Time // of the last line
	left  int64     // bytes that may still be written; -1: any number
	part  []byte    // of a line whose end hasn't come yet
}

// whole splits text into the lines that are complete, with those left from before.
func (v *logView) whole(text []byte) (lines [][]byte) {
	text = append(v.part, text...)
	end := bytes.LastIndexByte(text, '\n') + 1
	v.part = bytes.Clone(text[end:])
	for line := range bytes.Lines(text[:end]) {
		lines = append(lines, line)
	}
	return lines
}

// chosen are the lines that are young enough, with their time before them if that was asked for.
func (v *logView) chosen(lines [][]byte) (some [][]byte) {
	for _, line := range lines {
		if m := stamped.FindSubmatch(line); m != nil {
			if at, err := time.Parse(time.RFC3339Nano, string(m[1])); err == nil {
				v.at = at
			}
		}
		if v.at.Before(v.since) {
			continue
		}
		if v.opts.Timestamps {
			line = append([]byte(v.at.UTC().Format(time.RFC3339Nano)+" "), line...)
		}
		some = append(some, line)
	}
	return some
}

// write writes the lines; io.EOF when the reader has as many bytes as it wanted.
func (v *logView) write(lines [][]byte) error {
	for _, line := range lines {
		if v.left >= 0 && int64(len(line)) > v.left {
			line = line[:v.left]
		}
		if _, err := v.to.Write(line); err != nil {
			return err
		}
		if v.left >= 0 {
			if v.left -= int64(len(line)); v.left == 0 {
				return io.EOF
			}
		}
	}
	return nil
}
