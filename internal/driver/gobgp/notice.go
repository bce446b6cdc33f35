package gobgp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// noticeNames are the error codes of a NOTIFICATION (RFC 4271 section 4.5; RFC 7313 for 7).
var noticeNames = map[byte]string{
	1: "Message Header Error", 2: "OPEN Message Error", 3: "UPDATE Message Error", 4: "Hold Timer Expired", 5: "Finite State Machine Error", 6: "Cease",
	7: "ROUTE-REFRESH Message Error",
}

// noticeParts are their subcodes (RFC 4271 section 6, RFC 4486, RFC 5492, RFC 8538, RFC 9234, RFC 9384).
var noticeParts = map[[2]byte]string{
	{1, 1}: "Connection Not Synchronized", {1, 2}: "Bad Message Length", {1, 3}: "Bad Message Type",
	{2, 1}: "Unsupported Version Number", {2, 2}: "Bad Peer AS", {2, 3}: "Bad BGP Identifier", {2, 4}: "Unsupported Optional Parameter",
	{2, 6}: "Unacceptable Hold Time", {2, 7}: "Unsupported Capability", {2, 11}: "Role Mismatch",
	{3, 1}: "Malformed Attribute List", {3, 2}: "Unrecognized Well-known Attribute", {3, 3}: "Missing Well-known Attribute", {3, 4}: "Attribute Flags Error",
	{3, 5}: "Attribute Length Error", {3, 6}: "Invalid ORIGIN Attribute", {3, 8}: "Invalid NEXT_HOP Attribute", {3, 9}: "Optional Attribute Error",
	{3, 10}: "Invalid Network Field", {3, 11}: "Malformed AS_PATH",
	{6, 1}: "Maximum Number of Prefixes Reached", {6, 2}: "Administrative Shutdown", {6, 3}: "Peer De-configured", {6, 4}: "Administrative Reset",
	{6, 5}: "Connection Rejected", {6, 6}: "Other Configuration Change", {6, 7}: "Connection Collision Resolution", {6, 8}: "Out of Resources",
	{6, 9}: "Hard Reset", {6, 10}: "BFD Down",
}

// collision is the Cease of a second connection, which both ends opened at once: no session ends by it.
var collision = [2]byte{6, 7}

// notice is a NOTIFICATION in words: code and subcode with their numbers, and what an operator wrote (RFC 9003). body is what follows the header.
func notice(body []byte) string {
	if len(body) < 2 {
		return "without a code"
	}
	text := noticeNames[body[0]]
	if text == "" {
		text = "unknown error"
	}
	if part := noticeParts[[2]byte(body)]; part != "" {
		text += ", " + part
	}
	text += fmt.Sprintf(" (%d/%d)", body[0], body[1])
	if body[0] == 6 && (body[1] == 2 || body[1] == 4) && len(body) > 3 {
		if n := int(body[2]); n > 0 && len(body) >= 3+n && utf8.Valid(body[3:3+n]) {
			text += ": " + strconv.QuoteToGraphic(string(body[3:3+n]))
		}
	}
	return text
}

// troubles are why a peer's session doesn't stand: how its last connection ended, and what calling it meets now.
type troubles struct {
	mu    sync.Mutex
	ended string
	calls string
	based bool   // md5 is known
	md5   uint64 // segments with a wrong TCP MD5 signature when it ended
	wrong uint64 // those that have come since
}

// end notes how a connection ended.
func (t *troubles) end(how string, md5 uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended, t.calls, t.based, t.md5, t.wrong = how, "", true, md5, 0
}

// call notes what calling the peer met; nil: it answered.
func (t *troubles) call(err error, md5 uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.calls = ""; err != nil {
		t.calls = refusal(err)
	}
	if !t.based || md5 < t.md5 {
		t.based, t.md5 = true, md5
	}
	t.wrong = md5 - t.md5
}

// String puts it in one line; empty: there is nothing to tell.
func (t *troubles) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	parts := []string{t.ended}
	if t.ended == "" {
		parts = nil
	}
	if t.calls != "" {
		parts = append(parts, t.calls)
	}
	if t.wrong > 0 {
		parts = append(parts, "segments with a wrong TCP MD5 signature or without one have come since")
	}
	return strings.Join(parts, "; now ")
}

// refusal is what connecting met, in few words.
func refusal(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, unix.EHOSTUNREACH):
		return "no route to host"
	case errors.Is(err, unix.ENETUNREACH):
		return "network is unreachable"
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, errClosed):
		return "it closes connections before it says anything"
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return "our address of the session is not on this node"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer to connections"
	}
	return err.Error()
}

// errClosed is a connection that the peer closed without a word.
var errClosed = errors.New("closed")

// heardEnd tells how a connection ended that the peer, or the network, ended. What we closed ourselves is nobody's fault.
func (w *wire) heardEnd(err error) {
	switch {
	case w.noticed.Load() || w.closed.Load() || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed):
	case errors.Is(err, io.EOF):
		w.ended("the peer closed the connection without a NOTIFICATION")
	case errors.Is(err, unix.ECONNRESET):
		w.ended("the peer reset the connection")
	default:
		w.ended("the connection broke: " + err.Error())
	}
}

// hearNotice notes a NOTIFICATION that came (received) or that the engine sends.
func (w *wire) hearNotice(m []byte, received bool) {
	body := m[headLen:]
	if len(body) >= 2 && [2]byte(body) == collision {
		w.noticed.Store(true)
		return
	}
	if w.noticed.Swap(true) {
		return // the first one is the cause
	}
	switch {
	case received:
		w.ended("NOTIFICATION received: " + notice(body))
	case len(body) > 0 && body[0] == holdTimerExpired:
		w.ended("hold timer expired; NOTIFICATION sent: " + notice(body))
	case len(body) >= 2 && body[0] == 2 && body[1] == 2:
		w.ended(fmt.Sprintf("wrong AS: the peer says %d; NOTIFICATION sent: %s", w.itsAS.Load(), notice(body)))
	default:
		w.ended("NOTIFICATION sent: " + notice(body))
	}
}

// met notes what calling a peer met; nil: it answered.
func (g *gate) met(a netip.Addr, err error) {
	g.mu.Lock()
	p := g.guests[a]
	g.mu.Unlock()
	if p != nil {
		p.troubles.call(err, g.signatures())
	}
}

// signatures counts segments with a wrong TCP MD5 signature; 0 where nobody counts.
func (g *gate) signatures() uint64 {
	if g.md5 == nil {
		return 0
	}
	return g.md5()
}
