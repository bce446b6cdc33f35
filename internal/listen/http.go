package listen

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// What an HTTP client is allowed: the time for its header, the time without a request, the bytes of header and body.
// No question to the daemon has a body.
const (
	headerTime  = 5 * time.Second
	idleTime    = time.Minute
	headerBytes = 16 << 10
	bodyBytes   = 4 << 10
)

// Server makes an HTTP server. answer is the time for one question from its first byte to the last of its answer:
// who reads slower is cut off.
func Server(h http.Handler, answer time.Duration) *http.Server {
	return &http.Server{
		Handler:           http.MaxBytesHandler(h, bodyBytes),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       answer,
		WriteTimeout:      answer,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerBytes,
	}
}

// HTTP answers on a listener until ctx ends.
func HTTP(ctx context.Context, l net.Listener, p *Pool, h http.Handler, answer time.Duration) error {
	return Serve(ctx, l, p, Server(h, answer))
}

// Serve is HTTP with a server that was made by Server.
func Serve(ctx context.Context, l net.Listener, p *Pool, srv *http.Server) error {
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(p.In(l)); !errors.Is(err, http.ErrServerClosed) && ctx.Err() == nil {
		return err
	}
	return nil
}
