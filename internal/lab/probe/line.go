package probe

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// Line is one long-lived connection to a pod, which echoes what it is sent.
type Line struct {
	Answer Result        // who is at the other end
	Beats  int           // echoes that came back
	Worst  time.Duration // the slowest of them
	conn   net.Conn
	in     *bufio.Reader
	limit  time.Duration
}

// Open makes a connection from the namespace. It belongs to the namespace from then on, whatever thread uses it. An echo may take as
// long as the request's time-out.
func Open(in Enter, q Request) (*Line, error) {
	if q.Timeout == 0 {
		q.Timeout = time.Second
	}
	l := &Line{Answer: Result{At: time.Now()}, limit: q.Timeout}
	err := in(func() (err error) {
		l.conn, err = dial(q, "tcp", time.Now().Add(q.Timeout))
		return err
	})
	if err == nil {
		err = l.upgrade()
	}
	if err != nil {
		l.Answer.Class, l.Answer.Err = classify(err), err.Error()
		return l, err
	}
	return l, nil
}

func (l *Line) upgrade() error {
	if _, err := fmt.Fprint(l.conn, "GET /echo HTTP/1.1\r\nHost: pod\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"); err != nil {
		return err
	}
	l.in = bufio.NewReader(l.conn)
	for text := ""; text != "\r\n"; {
		var err error
		if text, err = l.in.ReadString('\n'); err != nil {
			return err
		}
	}
	text, err := l.in.ReadString('\n')
	if err != nil {
		return err
	}
	return l.Answer.read(strings.NewReader(text))
}

// Beat has one line echoed.
func (l *Line) Beat() error {
	sent := time.Now()
	if err := l.conn.SetDeadline(sent.Add(l.limit)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(l.conn, "beat %d\n", l.Beats); err != nil {
		return err
	}
	if _, err := l.in.ReadString('\n'); err != nil {
		return fmt.Errorf("echo %d: %w", l.Beats, err)
	}
	l.Beats++
	l.Worst = max(l.Worst, time.Since(sent))
	return nil
}

// Keep has a line echoed at every interval until the context ends, which is no error, or an echo fails.
func (l *Line) Keep(ctx context.Context, interval time.Duration) error {
	for {
		if err := l.Beat(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(interval):
		}
	}
}

// Close ends the connection.
func (l *Line) Close() {
	if l.conn != nil {
		l.conn.Close()
	}
}
