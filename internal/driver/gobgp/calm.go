package gobgp

import (
	"context"
	"log/slog"
)

// refused is what the engine says whenever it closes a connection that it has no use for: while a peer rests, or
// when both ends called. That is how it should be, and happens with every restart of a peer.
const refused = "Closed an accepted connection"

// calm is a handler that leaves that out.
type calm struct{ slog.Handler }

// Handle passes any other record on.
func (c calm) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == refused {
		return nil
	}
	return c.Handler.Handle(ctx, r)
}

// WithAttrs keeps derived loggers calm.
func (c calm) WithAttrs(a []slog.Attr) slog.Handler { return calm{c.Handler.WithAttrs(a)} }

// WithGroup keeps derived loggers calm.
func (c calm) WithGroup(n string) slog.Handler { return calm{c.Handler.WithGroup(n)} }
