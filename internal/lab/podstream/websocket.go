package podstream

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"k8s.io/apimachinery/pkg/util/remotecommand"
)

// closePatience is how long the last words may take to leave for a client that doesn't read.
const closePatience = time.Second

// upgrader takes every origin: the lab's server knows no browsers.
func upgrader(protocols ...string) websocket.Upgrader {
	return websocket.Upgrader{Subprotocols: protocols, CheckOrigin: func(*http.Request) bool { return true }}
}

// socket multiplexes a command's streams over one WebSocket: the first byte of a message is the stream's number.
type socket struct {
	conn *websocket.Conn
	mu   sync.Mutex // of writing
}

// channel is one stream from us to the client.
type channel struct {
	*socket
	number byte
}

func (c channel) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.conn.WriteMessage(websocket.BinaryMessage, append([]byte{c.number}, p...)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func execWebSocket(w http.ResponseWriter, r *http.Request, want Want, run Run) {
	up := upgrader(remotecommand.StreamProtocolV5Name, remotecommand.StreamProtocolV4Name)
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return // the client was told
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	s := &socket{conn: conn}
	var streams Streams
	into := map[byte]*io.PipeWriter{}
	open := func(number byte) io.Reader {
		from, to := io.Pipe()
		into[number] = to
		return from
	}
	if want.Stdin {
		streams.Stdin = open(remotecommand.StreamStdIn)
	}
	if want.Stdout {
		streams.Stdout = channel{s, remotecommand.StreamStdOut}
	}
	if want.Stderr {
		streams.Stderr = channel{s, remotecommand.StreamStdErr}
	}
	if want.TTY {
		streams.Resize = sizes(ctx, open(remotecommand.StreamResize))
	}
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	go func() {
		defer cancel()
		s.read(into)
	}()
	err = run(ctx, streams)
	conn.SetWriteDeadline(time.Now().Add(closePatience))
	_, _ = channel{s, remotecommand.StreamErr}.Write(verdict(err)) // fails only if the client is gone
	end := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = conn.WriteControl(websocket.CloseMessage, end, time.Now().Add(closePatience))
}

// read gives the client's messages to their streams until the connection ends. What nobody reads any more is dropped.
func (s *socket) read(into map[byte]*io.PipeWriter) {
	defer func() {
		for _, to := range into {
			to.Close()
		}
	}()
	for {
		kind, text, err := s.conn.ReadMessage()
		if err != nil {
			return
		}
		if kind != websocket.BinaryMessage || len(text) == 0 {
			continue
		}
		if text[0] == remotecommand.StreamClose { // since protocol 5
			if len(text) == 2 && into[text[1]] != nil {
				into[text[1]].Close()
			}
			continue
		}
		if to := into[text[0]]; to != nil && len(text) > 1 {
			_, _ = to.Write(text[1:]) // fails only if the command reads no more
		}
	}
}
