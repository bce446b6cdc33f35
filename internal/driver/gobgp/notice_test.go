package gobgp

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNotice(t *testing.T) {
	for want, body := range map[string][]byte{
		"Hold Timer Expired (4/0)":                                 {4, 0},
		"OPEN Message Error, Bad Peer AS (2/2)":                    {2, 2, 0xfd, 0xe8},
		"Cease, Administrative Shutdown (6/2)":                     {6, 2},
		`Cease, Administrative Shutdown (6/2): "a\nb"`:             {6, 2, 3, 'a', '\n', 'b'},
		"Cease, Administrative Reset (6/4)":                        {6, 4, 9, 'c', 'u', 't'},
		"Cease, BFD Down (6/10)":                                   {6, 10},
		"Cease (6/77)":                                             {6, 77},
		"unknown error (99/1)":                                     {99, 1},
		"without a code":                                           {6},
		"UPDATE Message Error, Missing Well-known Attribute (3/3)": {3, 3, 1},
		"Cease, Maximum Number of Prefixes Reached (6/1)":          {6, 1, 0, 1, 1, 0, 0, 0, 5},
		"ROUTE-REFRESH Message Error (7/1)":                        {7, 1},
		`Cease, Administrative Shutdown (6/2): "ü"`:                {6, 2, 2, 0xc3, 0xbc},
		"Message Header Error, Connection Not Synchronized (1/1)":  {1, 1},
		"Finite State Machine Error (5/0)":                         {5, 0},
		"Cease, Hard Reset (6/9)":                                  {6, 9, 6, 2},
	} {
		if got := notice(body); got != want {
			t.Errorf("% x: %q, want %q", body, got, want)
		}
	}
}

// TestTroubles: what a call meets joins how the last connection ended, and signatures count from then on.
func TestTroubles(t *testing.T) {
	var p troubles
	check := func(want string) {
		t.Helper()
		if got := p.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	check("")
	p.call(&os.SyscallError{Err: unix.ECONNREFUSED}, 7)
	check("connection refused")
	p.end("hold timer expired", 0)
	check("hold timer expired")
	p.call(&os.SyscallError{Err: unix.EHOSTUNREACH}, 0)
	check("hold timer expired; now no route to host")
	p.call(os.ErrDeadlineExceeded, 3)
	check("hold timer expired; now no answer to connections; now segments with a wrong TCP MD5 signature or without one have come since")
	p.call(errors.New("odd"), 0) // the counter began anew
	check("hold timer expired; now odd")
	p.call(nil, 0)
	check("hold timer expired")
}
