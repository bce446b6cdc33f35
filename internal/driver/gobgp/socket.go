package gobgp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// The files of a speaker in its directory. People and the TCP ports for them use another socket than the
// daemon, on which passwords don't show.
const (
	socketName = "speaker.sock"
	adminName  = "gobgp.sock"      // for root
	readName   = "gobgp-read.sock" // for whoever reaches the TCP port, to read
	lockName   = "speaker.lock"
)

// Socket is the path of the socket on which the speaker in dir answers the daemon.
func Socket(dir string) string { return filepath.Join(dir, socketName) }

// patience is how long a speaker may take for an answer, its start included.
const patience = 10 * time.Second

// client talks to a speaker, whichever life of it there is.
type client struct {
	api.GoBgpServiceClient
	conn *grpc.ClientConn
	path string
}

// dial makes a client. It connects when it is first used, and again whenever the speaker has a new life.
func dial(path string) (*client, error) {
	c, err := connect("unix://" + path)
	if err == nil {
		c.path = path
	}
	return c, err
}

func connect(target string) (*client, error) {
	conn, err := grpc.NewClient(target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 500 * time.Millisecond},
			MinConnectTimeout: time.Second,
		}))
	if err != nil {
		return nil, fmt.Errorf("prepare the connection to the BGP speaker: %w", err)
	}
	return &client{GoBgpServiceClient: api.NewGoBgpServiceClient(conn), conn: conn}, nil
}

// there tells whether anybody answers on the socket.
func (c *client) there() bool {
	conn, err := net.Dial("unix", c.path)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// global reads what the speaker was started with; nil: it was not, or no longer.
func (c *client) global(ctx context.Context) (*api.Global, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := c.GetBgp(ctx, &api.GetBgpRequest{})
	// One that is just ending may take the question along; the next one answers it.
	for status.Code(err) == codes.Unavailable && pause(ctx, 20*time.Millisecond) {
		r, err = c.GetBgp(ctx, &api.GetBgpRequest{})
	}
	if err != nil {
		return nil, fmt.Errorf("ask the BGP speaker: %w", err)
	}
	if r.Global.GetAsn() == 0 {
		return nil, nil
	}
	return r.Global, nil
}

// lost tells whether an error is about the speaker as a whole and not about what was asked.
func lost(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded:
		return true
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// receiver is a stream of answers.
type receiver[T any] interface{ Recv() (*T, error) }

// each visits every answer of a stream.
func each[T any](s receiver[T], err error, visit func(*T)) error {
	for err == nil {
		var m *T
		if m, err = s.Recv(); err == nil {
			visit(m)
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
