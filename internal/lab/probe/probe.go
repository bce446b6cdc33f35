// Package probe asks pods who they are, from inside any network namespace, and says who answered, which source address the pod saw,
// or how it failed. Probes run in the calling process on a thread of the namespace, so that thousands a second are possible.
package probe

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/lab/podserver"
)

// Class tells failures apart the way a user would. The empty class is success.
type Class string

// The classes of failure.
const (
	Refused     Class = "refused"     // TCP reset of a SYN, or ICMP port unreachable
	Timeout     Class = "timeout"     // nothing came
	Reset       Class = "reset"       // an open connection was cut
	Unreachable Class = "unreachable" // no route, or ICMP host or network unreachable
	Prohibited  Class = "prohibited"  // ICMP administratively prohibited
	Garbled     Class = "garbled"     // somebody answered, but not a pod
	Unsupported Class = "unsupported" // this kernel has no such protocol
	Failed      Class = "failed"      // anything else
)

// Request is one question.
type Request struct {
	To      netip.AddrPort
	Proto   string         // "tcp" (HTTP, the default), "udp" or "sctp"
	From    netip.AddrPort // source address and port; zero leaves them to the kernel
	Path    string         // of HTTP; "" is "/"
	Size    int            // of a UDP question in bytes, at least; the answer is as large
	Timeout time.Duration  // of all of it; 0 means one second
}

// Result is what came of it.
type Result struct {
	podserver.Answer
	Class Class         // "" when a pod answered
	Err   string        // the error's text
	Bytes int64         // of the answer's body
	At    time.Time     // when it began
	Took  time.Duration // until the answer was complete
}

// OK says that a pod answered.
func (r Result) OK() bool { return r.Class == "" }

// String is the result on one line.
func (r Result) String() string {
	if !r.OK() {
		return fmt.Sprintf("%s (%s)", r.Class, r.Err)
	}
	return fmt.Sprintf("%s on %s saw %s", r.Pod, r.Node, r.Client.Addr())
}

// Once asks once from the network namespace of the calling thread.
func Once(q Request) Result {
	if q.Timeout == 0 {
		q.Timeout = time.Second
	}
	r := Result{At: time.Now()}
	var err error
	switch q.Proto {
	case "udp":
		err = r.udp(q)
	case "sctp":
		err = r.sctp(q)
	default:
		err = r.http(q)
	}
	r.Took = time.Since(r.At)
	if err != nil {
		r.Class, r.Err = classify(err), err.Error()
	}
	return r
}

func dial(q Request, network string, deadline time.Time) (net.Conn, error) {
	d := net.Dialer{Deadline: deadline, Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
	}}
	d.SetMultipathTCP(false)
	if q.From.IsValid() {
		if d.LocalAddr = net.TCPAddrFromAddrPort(q.From); network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(q.From)
		}
	}
	c, err := d.DialContext(context.Background(), network, q.To.String())
	if err == nil {
		err = c.SetDeadline(deadline)
	}
	return c, err
}

func (r *Result) http(q Request) error {
	c, err := dial(q, "tcp", r.At.Add(q.Timeout))
	if err != nil {
		return err
	}
	defer c.Close()
	if q.Path == "" {
		q.Path = "/"
	}
	if _, err = fmt.Fprintf(c, "GET %s HTTP/1.0\r\nHost: pod\r\n\r\n", q.Path); err != nil {
		return err
	}
	in := bufio.NewReader(c)
	for line := "-"; line != "\r\n"; {
		if line, err = in.ReadString('\n'); err != nil {
			return err
		}
	}
	if strings.HasPrefix(q.Path, "/bytes") {
		r.Bytes, err = io.Copy(io.Discard, in)
		return err
	}
	return r.read(in)
}

func (r *Result) read(in io.Reader) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	r.Bytes = int64(len(text))
	if err := json.Unmarshal(text, &r.Answer); err != nil || r.Pod == "" {
		return fmt.Errorf("%w: %q", errGarbled, text)
	}
	return nil
}

func (r *Result) udp(q Request) error {
	c, err := dial(q, "udp", r.At.Add(q.Timeout))
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err = c.Write(make([]byte, max(q.Size, 1))); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	n, err := c.Read(buf)
	if err != nil {
		return err
	}
	return r.read(strings.NewReader(strings.TrimRight(string(buf[:n]), "\x00")))
}

var errGarbled = errors.New("not a pod's answer")

func classify(err error) Class {
	var timeout net.Error
	for class, errnos := range map[Class][]error{
		Refused:     {unix.ECONNREFUSED},
		Reset:       {unix.ECONNRESET, unix.EPIPE, io.EOF, io.ErrUnexpectedEOF},
		Unreachable: {unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN},
		Prohibited:  {unix.EACCES, unix.EPERM},
		Unsupported: {unix.EPROTONOSUPPORT, unix.ESOCKTNOSUPPORT},
		Timeout:     {unix.EAGAIN, unix.EINPROGRESS, unix.ETIMEDOUT},
		Garbled:     {errGarbled},
	} {
		for _, e := range errnos {
			if errors.Is(err, e) {
				return class
			}
		}
	}
	if errors.As(err, &timeout) && timeout.Timeout() {
		return Timeout
	}
	return Failed
}
